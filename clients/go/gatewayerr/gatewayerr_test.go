package gatewayerr_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/gatewayerr"
)

func failure(t *testing.T, code codes.Code, message string, details ...protoadapt.MessageV1) error {
	t.Helper()
	s, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

func TestEveryKindOfDetailIsReadFromAWrappedError(t *testing.T) {
	err := failure(t, codes.ResourceExhausted, "DIS throttles",
		&errdetails.ErrorInfo{
			Domain: gatewayerr.Domain, Reason: "UPSTREAM_THROTTLED", Metadata: map[string]string{"dis_error_code": "DIS.4303"},
		},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "key.partition_id", Description: "is mandatory"},
		}},
	)
	got := gatewayerr.From(fmt.Errorf("committing 41: %w", err))

	if got.Code != codes.ResourceExhausted || got.Reason != "UPSTREAM_THROTTLED" {
		t.Errorf("got %v %q", got.Code, got.Reason)
	}
	if got.RetryAfter != 1500*time.Millisecond {
		t.Errorf("retry after %v", got.RetryAfter)
	}
	if want := []gatewayerr.Field{{Name: "key.partition_id", Problem: "is mandatory"}}; !reflect.DeepEqual(got.Fields, want) {
		t.Errorf("fields %v", got.Fields)
	}
	if got.Metadata["dis_error_code"] != "DIS.4303" {
		t.Errorf("metadata %v", got.Metadata)
	}
}

func TestOneLineForALogNamesReasonFieldAndDisError(t *testing.T) {
	info := gatewayerr.Info{
		Code: codes.NotFound, Message: "no such stream", Reason: "STREAM_NOT_FOUND",
		Metadata: map[string]string{"dis_error_code": "DIS.4301"},
		Fields:   []gatewayerr.Field{{Name: "key.stream_name", Problem: "is unknown"}},
	}
	want := "NotFound STREAM_NOT_FOUND: no such stream [key.stream_name is unknown] (dis_error_code DIS.4301)"
	if got := info.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReasonsOfOthersAreNotTakenForTheGateways(t *testing.T) {
	err := failure(t, codes.Unavailable, "x", &errdetails.ErrorInfo{Domain: "proxy.example", Reason: "CONSUMER_FENCED"})
	if got := gatewayerr.From(err); got.Reason != "" {
		t.Errorf("reason %q", got.Reason)
	}
}

func TestOnlyWhatMaySucceedLaterIsRetryable(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want bool
	}{
		{"nothing", nil, false},
		{"unavailable", failure(t, codes.Unavailable, "x"), true},
		{"the caller's own deadline", context.DeadlineExceeded, true},
		{"throttled, with a delay", failure(t, codes.ResourceExhausted, "x", &errdetails.RetryInfo{RetryDelay: durationpb.New(1)}), true},
		{"throttled, with no delay", failure(t, codes.ResourceExhausted, "x", &errdetails.RetryInfo{}), true},
		{"out of quota", failure(t, codes.ResourceExhausted, "x"), false},
		{"a field is wrong", failure(t, codes.InvalidArgument, "x"), false},
		{"cancelled", context.Canceled, false},
		{"something else", errors.New("x"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := gatewayerr.From(tt.err).Retryable(); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
