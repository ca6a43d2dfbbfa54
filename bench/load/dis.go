package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// dis is a DIS that does nothing but wait: it takes commits, deletes and reads, and answers after a time. It is much
// faster than the emulator, which verifies and stores, and so it is not what a benchmark measures.
type dis struct {
	delay time.Duration
	mutex sync.Mutex
	// the last number of each partition
	last map[string]string
	// no answer leaves before this
	stalled time.Time
}

const stallSeconds = 5

func (d *dis) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	if strings.HasPrefix(request.URL.Path, "/v1/") { // a collector of OTLP, which takes everything
		_, _ = io.Copy(io.Discard, request.Body)
		return
	}
	if request.URL.Path == "/stall" {
		d.mutex.Lock()
		defer d.mutex.Unlock()
		d.stalled = time.Now().Add(stallSeconds * time.Second)
		return
	}
	var body struct {
		Number    string `json:"sequence_number"`
		Partition string `json:"partition_id"`
	}
	if request.Method == http.MethodPost {
		data, err := io.ReadAll(request.Body)
		if err != nil || json.Unmarshal(data, &body) != nil {
			answer.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	d.mutex.Lock()
	wait := max(d.delay, time.Until(d.stalled))
	d.mutex.Unlock()
	time.Sleep(wait)
	d.mutex.Lock()
	if request.Method == http.MethodPost {
		d.last[body.Partition] = body.Number
	}
	last, known := d.last[request.URL.Query().Get("partition_id")]
	if !known {
		last = "0"
	}
	d.mutex.Unlock()
	switch request.Method {
	case http.MethodPost:
		answer.WriteHeader(http.StatusCreated)
	case http.MethodDelete:
		answer.WriteHeader(http.StatusNoContent)
	default:
		answer.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(answer, `{"sequence_number":"%s","metadata":""}`, last)
	}
}

// serveDis prints its URL, then serves until it is ended.
func serveDis(delay time.Duration) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, &dis{delay: delay, last: map[string]string{}}))
}
