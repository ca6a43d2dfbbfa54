package gatewayerr_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	spb "google.golang.org/genproto/googleapis/rpc/status"

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
	if !got.HasRetryInfo || got.RetryAfter != 1500*time.Millisecond {
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
		Code: codes.NotFound, Message: "no such\nstream", Reason: "STREAM_NOT_FOUND",
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

// clients/failures.json is the same for every language.
func TestEveryCaseOfTheTable(t *testing.T) {
	content, err := os.ReadFile("../../failures.json")
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Cases []struct {
			Name, Code, Reason, Field string
			RetryDelaySeconds         *float64 `json:"retry_delay_seconds"`
			Retryable                 bool
			OutcomeUnknown            bool `json:"outcome_unknown"`
		}
	}
	if err := json.Unmarshal(content, &table); err != nil {
		t.Fatal(err)
	}
	if len(table.Cases) < 20 {
		t.Errorf("only %d cases", len(table.Cases))
	}
	for _, c := range table.Cases {
		t.Run(c.Name, func(t *testing.T) {
			var details []protoadapt.MessageV1
			if c.Reason != "" {
				details = append(details, &errdetails.ErrorInfo{Domain: gatewayerr.Domain, Reason: c.Reason})
			}
			if c.RetryDelaySeconds != nil {
				delay := time.Duration(*c.RetryDelaySeconds * float64(time.Second))
				details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
			}
			if c.Field != "" {
				details = append(details, &errdetails.BadRequest{
					FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: c.Field, Description: "is wrong"}},
				})
			}
			want := codes.Code(code.Code_value[c.Code])
			got := gatewayerr.From(failure(t, want, "the message", details...))

			if got.Code != want || got.Message != "the message" || got.Reason != c.Reason {
				t.Errorf("got %v %q %q", got.Code, got.Message, got.Reason)
			}
			if got.Retryable() != c.Retryable || got.OutcomeUnknown() != c.OutcomeUnknown {
				t.Errorf("retryable %v, outcome unknown %v", got.Retryable(), got.OutcomeUnknown())
			}
			if got.HasRetryInfo != (c.RetryDelaySeconds != nil) {
				t.Errorf("RetryInfo %v", got.HasRetryInfo)
			}
			if (len(got.Fields) == 1 && got.Fields[0].Name == c.Field) != (c.Field != "") {
				t.Errorf("fields %v", got.Fields)
			}
		})
	}
}

func TestWhatDoesNotComeFromGRPCIsNotRetryableAndSaysNothingOfTheOutcome(t *testing.T) {
	for _, err := range []error{errors.New("x"), context.Canceled, context.DeadlineExceeded} {
		if got := gatewayerr.From(err); got.Retryable() || !got.OutcomeUnknown() {
			t.Errorf("%v: retryable %v, outcome unknown %v", err, got.Retryable(), got.OutcomeUnknown())
		}
	}
}

func TestNoErrorIsNeither(t *testing.T) {
	if got := gatewayerr.From(nil); got.Retryable() || got.OutcomeUnknown() {
		t.Errorf("retryable %v, outcome unknown %v", got.Retryable(), got.OutcomeUnknown())
	}
}

func TestADetailThatCannotBeDecodedIsPassedOver(t *testing.T) {
	garbage := &anypb.Any{TypeUrl: "type.googleapis.com/google.rpc.ErrorInfo", Value: []byte("\xff\xff")}
	err := status.ErrorProto(&spb.Status{Code: int32(codes.Unavailable), Message: "x", Details: []*anypb.Any{garbage}})
	if got := gatewayerr.From(err); got.Code != codes.Unavailable || got.Message != "x" || got.Reason != "" {
		t.Errorf("got %v", got)
	}
}
