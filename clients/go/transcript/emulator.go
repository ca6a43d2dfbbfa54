package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// body is a JSON object.
type body map[string]any

var emulatorClient = http.Client{Transport: &http.Transport{}} // through no proxy, whatever the environment says

// control calls the emulator's control API.
func (c *conversation) control(ctx context.Context, method, path string, content body) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	encoded := []byte{}
	if content != nil {
		var err error
		if encoded, err = json.Marshal(content); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.emulator+"/_emulator/"+path, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	answer, err := emulatorClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the emulator answers %s %s with %s", method, path, answer.Status)
	}
	return nil
}

func (c *conversation) prepare(ctx context.Context) error {
	if err := c.control(ctx, http.MethodPost, "reset", nil); err != nil {
		return err
	}
	if err := c.control(ctx, http.MethodPut, "streams/"+c.stream, body{"partitions": 4}); err != nil {
		return err
	}
	return c.control(ctx, http.MethodPut, "apps/"+c.app, nil)
}

func (c *conversation) fault(ctx context.Context, fault body) error {
	return c.control(ctx, http.MethodPost, "faults", fault)
}

func (c *conversation) clearFaults(ctx context.Context) error {
	return c.control(ctx, http.MethodDelete, "faults", nil)
}
