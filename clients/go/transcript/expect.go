package main

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
	"github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/gatewayerr"
)

// equal returns the mismatch, if there is one.
func equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %#v, not %#v", what, got, want)
	}
	return nil
}

// first returns the first of several mismatches.
func first(mismatches ...error) error {
	for _, err := range mismatches {
		if err != nil {
			return err
		}
	}
	return nil
}

// expectedError is what an error must say. Metadata may hold more.
type expectedError struct {
	code     codes.Code
	reason   string
	metadata map[string]string
	field    string // of the BadRequest, which must have just this one; "" for no BadRequest
	retry    bool   // whether there is a RetryInfo; its delay must be above 0
}

func (e expectedError) check(err error) error {
	info := gatewayerr.From(err)
	for name, value := range e.metadata {
		if err := equal("metadata "+name, info.Metadata[name], value); err != nil {
			return err
		}
	}
	fields := []string{}
	for _, field := range info.Fields {
		fields = append(fields, field.Name)
	}
	want := []string{}
	if e.field != "" {
		want = append(want, e.field)
	}
	if !slices.Equal(fields, want) {
		return fmt.Errorf("fields are %q, not %q", fields, want)
	}
	return first(
		equal("code", info.Code, e.code),
		equal("reason", info.Reason, e.reason),
		equal("whether there is a RetryInfo", info.HasRetryInfo, e.retry),
		equal("a delay above 0", info.RetryAfter > 0, e.retry))
}

// checkStatus looks at the status of one element of a batch as at the error of a call.
func (e expectedError) checkStatus(s *spb.Status) error {
	return e.check(status.ErrorProto(s))
}

// committed checks that exactly this commit is stored.
func committed(answer *pb.CommitCheckpointResponse, err error, number string) error {
	if err != nil {
		return err
	}
	return first(
		equal("result", answer.GetResult(), pb.CommitResult_COMMIT_RESULT_COMMITTED),
		equal("effective number", answer.GetEffective().GetSequenceNumber(), number))
}

// found checks that there is such a checkpoint.
func found(answer *pb.GetCheckpointResponse, err error, number, metadata string) error {
	if err != nil {
		return err
	}
	return first(
		equal("found", answer.GetFound(), true),
		equal("number", answer.GetCheckpoint().GetSequenceNumber(), number),
		equal("metadata", answer.GetCheckpoint().GetMetadata(), metadata))
}

// notFound checks that there is no checkpoint, without an error.
func notFound(answer *pb.GetCheckpointResponse, err error) error {
	if err != nil {
		return err
	}
	return first(
		equal("whether there is an answer", answer != nil, true),
		equal("found", answer.GetFound(), false),
		equal("whether there is a checkpoint", answer.GetCheckpoint() != nil, false))
}
