package disgateway_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway"
	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
	"github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/gatewayerr"
)

const none = time.Duration(-1)

// failure is an error as the gateway sends it; retryAfter none is one without RetryInfo.
func failure(code codes.Code, reason string, retryAfter time.Duration) error {
	var details []protoadapt.MessageV1
	if reason != "" {
		details = append(details, &errdetails.ErrorInfo{Domain: gatewayerr.Domain, Reason: reason})
	}
	if retryAfter != none {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	s, err := status.New(code, "the message").WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return s.Err()
}

// fakeGateway answers each call with the next of its errors, and the last one for ever; nil is an answer, and errHang
// does not answer within the call's deadline.
type fakeGateway struct {
	pb.CheckpointServiceClient
	errs      []error
	effective string // of an answer, where it is not what was committed

	began   time.Time
	calls   []time.Duration // after began
	allowed []time.Duration // of each call, until its deadline
	numbers []string
}

var errHang = errors.New("hang")

func (f *fakeGateway) call(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	f.calls = append(f.calls, time.Since(f.began))
	f.allowed = append(f.allowed, time.Until(deadline))
	err := f.errs[min(len(f.calls), len(f.errs))-1]
	if err == errHang {
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	return err
}

func (f *fakeGateway) GetCheckpoint(ctx context.Context, _ *pb.GetCheckpointRequest, _ ...grpc.CallOption) (*pb.GetCheckpointResponse, error) {
	if err := f.call(ctx); err != nil {
		return nil, err
	}
	return &pb.GetCheckpointResponse{Found: true, Checkpoint: &pb.Checkpoint{SequenceNumber: "41"}}, nil
}

func (f *fakeGateway) CommitCheckpoint(ctx context.Context, r *pb.CommitCheckpointRequest, _ ...grpc.CallOption) (*pb.CommitCheckpointResponse, error) {
	f.numbers = append(f.numbers, r.GetSequenceNumber())
	if err := f.call(ctx); err != nil {
		return nil, err
	}
	effective := r.GetSequenceNumber()
	if f.effective != "" {
		effective = f.effective
	}
	return &pb.CommitCheckpointResponse{Effective: &pb.Checkpoint{SequenceNumber: effective}}, nil
}

func (f *fakeGateway) commit(ctx context.Context) error {
	f.began = time.Now()
	return disgateway.Commit(ctx, f, &pb.CommitCheckpointRequest{SequenceNumber: "44"})
}

func (f *fakeGateway) resume(ctx context.Context) (int64, error) {
	f.began = time.Now()
	return disgateway.Resume(ctx, f, &pb.CheckpointKey{})
}

func says(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v lacks %q", err, want)
	}
}

func between(t *testing.T, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %v, not %v to %v", what, got, low, high)
	}
}

func TestACommitOfUnknownOutcomeIsSentAgainWithTheSameNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unknown := failure(codes.Unavailable, gatewayerr.CommitOutcomeUnknown, none)
		f := &fakeGateway{errs: []error{unknown, errHang, nil}}
		if err := f.commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.numbers, []string{"44", "44", "44"}) {
			t.Errorf("committed %v", f.numbers)
		}
	})
}

func TestItWaitsAsLongAsTheGatewayAsks(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{7 * time.Second: 7 * time.Second, 0: 250 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeGateway{errs: []error{failure(codes.ResourceExhausted, "UPSTREAM_THROTTLED", asked), nil}}
			if err := f.commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			between(t, "second call", f.calls[1], want, want)
		})
	}
}

func TestOtherwiseItWaitsLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeGateway{errs: append(slices.Repeat([]error{failure(codes.Unavailable, "", none)}, 5), nil)}
		if _, err := f.resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{250, 500, 1000, 2000, 2000} {
			want *= time.Millisecond
			between(t, "wait", f.calls[i+1]-f.calls[i], want*8/10, want*12/10)
		}
	})
}

func TestItGivesUpWithin20SecondsHoweverLongTheCallsTake(t *testing.T) {
	for _, err := range []error{errHang, failure(codes.Unavailable, "UPSTREAM_UNAVAILABLE", time.Second)} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeGateway{errs: []error{err}}
			_, got := f.resume(t.Context())
			says(t, got, "the checkpoint cannot be read")
			between(t, "all", time.Since(f.began), 17*time.Second, 20*time.Second)
			for i, allowed := range f.allowed {
				between(t, "deadline", allowed, 1, min(5*time.Second, 20*time.Second-f.calls[i]))
			}
		})
	}
}

func TestItGivesUpAtOnceWhereTheGatewayAsksForMoreTimeThanThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeGateway{errs: []error{failure(codes.Unavailable, "UPSTREAM_CIRCUIT_OPEN", 20*time.Second)}}
		says(t, f.commit(t.Context()), "it is not committed")
		between(t, "all", time.Since(f.began), 0, 0)
	})
}

func TestItDoesNotRepeatWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeGateway{errs: []error{failure(codes.FailedPrecondition, gatewayerr.ConsumerFenced, none)}}
		err := f.commit(t.Context())
		says(t, err, "taken over this partition; it is not committed")
		if len(f.calls) != 1 {
			t.Errorf("%d calls", len(f.calls))
		}
		if reason := gatewayerr.From(err).Reason; reason != gatewayerr.ConsumerFenced {
			t.Errorf("reason %q of the wrapped error", reason)
		}
	})
}

func TestOneUnknownOutcomeIsEnoughForACommitThatMayBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeGateway{errs: []error{errHang, failure(codes.NotFound, "STREAM_NOT_FOUND", none)}}
		err := f.commit(t.Context())
		says(t, err, "STREAM_NOT_FOUND")
		says(t, err, "it may be committed")
		var failed *disgateway.Error
		if !errors.As(err, &failed) || !failed.MayBeDone {
			t.Errorf("got %#v", err)
		}
	})
}

func TestAHigherNumberInTheAnswerIsAnotherConsumers(t *testing.T) {
	for effective, want := range map[string]string{"45": "another consumer", "5x": "sequence number is wrong"} {
		synctest.Test(t, func(t *testing.T) {
			says(t, (&fakeGateway{errs: []error{nil}, effective: effective}).commit(t.Context()), want)
		})
	}
}

func TestAskedToStopTheReadEndsAtOnce(t *testing.T) {
	for _, err := range []error{errHang, failure(codes.Unavailable, "GATEWAY_DRAINING", 9*time.Second)} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, stop)
			f := &fakeGateway{errs: []error{err}}
			if _, err := f.resume(ctx); err == nil {
				t.Error("it has an answer")
			}
			between(t, "all", time.Since(f.began), 3*time.Second, 3*time.Second)
		})
	}
}

func TestAskedToStopACommitHas10SecondsLeft(t *testing.T) {
	tests := []struct {
		name      string
		err       error
		stop      time.Duration
		low, high time.Duration
	}{
		{"before", errHang, 0, 5 * time.Second, 10 * time.Second},
		{"in a call", errHang, 3 * time.Second, 10 * time.Second, 13 * time.Second},
		{"while it waits", failure(codes.Unavailable, "GATEWAY_DRAINING", time.Second), 2500 * time.Millisecond, 11 * time.Second, 12500 * time.Millisecond},
		{"while it waits for too long", failure(codes.Unavailable, "GATEWAY_DRAINING", 15*time.Second), time.Second, time.Second, time.Second},
		{"at the end", errHang, 19 * time.Second, 19 * time.Second, 20 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				if tt.stop == 0 {
					stop()
				}
				time.AfterFunc(tt.stop, stop)
				f := &fakeGateway{errs: []error{tt.err}}
				if f.commit(ctx) == nil {
					t.Error("it is committed")
				}
				between(t, "all", time.Since(f.began), tt.low, tt.high)
			})
		})
	}
}

func TestAskedToStopACommitIsFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		f := &fakeGateway{errs: []error{errHang, nil}}
		if err := f.commit(ctx); err != nil {
			t.Error(err)
		}
	})
}
