package disgateway

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/grpc"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
	"github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/gatewayerr"
)

const (
	totalTimeout = 20 * time.Second // all calls of an operation: less than the 30 s that Kubernetes leaves after SIGTERM
	callTimeout  = 5 * time.Second
	stopTimeout  = 10 * time.Second // of a commit, from when it is asked to stop
	minBackoff   = 250 * time.Millisecond
	maxBackoff   = 2 * time.Second
)

// Error is how an operation has failed, all of its calls included.
type Error struct {
	gatewayerr.Info // of the last call
	// MayBeDone says that a write may have been carried out: the outcome of at least one of its calls is unknown.
	MayBeDone bool

	commit bool
	err    error
}

// Error is one line. For a commit it says whether it may be stored.
func (e *Error) Error() string {
	text := e.Info.String()
	if advice := e.Advice(); advice != "" {
		text += "; " + advice
	}
	switch {
	case !e.commit:
		return text
	case e.MayBeDone:
		return text + "; it may be committed"
	default:
		return text + "; it is not committed"
	}
}

// Unwrap returns the error of the last call.
func (e *Error) Unwrap() error { return e.err }

// A Method is one of the generated client's, such as gateway.GetCheckpoint.
type Method[Request, Response any] func(context.Context, *Request, ...grpc.CallOption) (*Response, error)

// Retry calls until there is an answer that stands: for 20 seconds at most, 5 for each call. When ctx ends it ends at
// once. Its errors are of type *Error.
func Retry[Request, Response any](
	ctx context.Context, method Method[Request, Response], request *Request,
) (*Response, error) {
	return retry(ctx, nil, false, method, request)
}

// NoCheckpoint is lower than every sequence number.
const NoCheckpoint = int64(-1)

// Resume returns the number of the last record that an earlier run has finished, or NoCheckpoint. It calls like Retry.
// An error never means that there is no checkpoint: starting over upon one would repeat the whole stream.
func Resume(ctx context.Context, gateway pb.CheckpointServiceClient, key *pb.CheckpointKey) (int64, error) {
	// Fresh, as whoever had the partition before may have committed through another gateway.
	request := &pb.GetCheckpointRequest{Key: key, ReadMode: pb.ReadMode_READ_MODE_FRESH}
	answer, err := Retry(ctx, gateway.GetCheckpoint, request)
	if err != nil {
		return 0, fmt.Errorf("the checkpoint cannot be read: %w", err)
	}
	if !answer.GetFound() {
		return NoCheckpoint, nil
	}
	return SequenceNumber(answer.GetCheckpoint())
}

// Commit calls like Retry, but is not given up when ctx ends: it then has 10 seconds left. A commit whose outcome is
// unknown is sent again with the same number; that is safe, whether the first one was stored or not.
//
// It is an error too if DIS has a higher number than this one: another consumer has this partition.
func Commit(ctx context.Context, gateway pb.CheckpointServiceClient, request *pb.CommitCheckpointRequest) error {
	own := request.GetSequenceNumber()
	stopped := make(chan time.Time, 1)
	defer context.AfterFunc(ctx, func() { stopped <- time.Now() })()
	answer, err := retry(context.WithoutCancel(ctx), stopped, true, gateway.CommitCheckpoint, request)
	if err != nil {
		return fmt.Errorf("commit of %s: %w", own, err)
	}
	effective, err := SequenceNumber(answer.GetEffective())
	if err != nil {
		return fmt.Errorf("commit of %s: %w", own, err)
	}
	if number, err := strconv.ParseInt(own, 10, 64); err != nil || effective > number {
		return fmt.Errorf("commit of %s: another consumer has this partition, and has committed %d", own, effective)
	}
	return nil
}

func retry[Request, Response any](
	ctx context.Context, stopped <-chan time.Time, commit bool, method Method[Request, Response], request *Request,
) (*Response, error) {
	deadline := time.Now().Add(totalTimeout)
	failed := &Error{commit: commit}
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		callCtx, cancel := context.WithTimeout(ctx, min(callTimeout, time.Until(deadline)))
		answer, err := method(callCtx, request)
		cancel()
		if err == nil {
			return answer, nil
		}
		failed.Info, failed.err = gatewayerr.From(err), err
		failed.MayBeDone = failed.MayBeDone || failed.OutcomeUnknown()
		if ctx.Err() != nil || !failed.Retryable() {
			return nil, failed
		}
		delay := time.Duration(float64(backoff) * (0.8 + 0.4*rand.Float64()))
		if failed.HasRetryInfo {
			delay = max(failed.RetryAfter, minBackoff)
		}
		slog.DebugContext(ctx, "the gateway is called again", "error", failed.String(), "after", delay)
		if !pause(ctx, stopped, delay, &deadline) {
			return nil, failed
		}
	}
}

// pause waits, and says whether there is time for another call after it. It returns at once where there is none.
func pause(ctx context.Context, stopped <-chan time.Time, delay time.Duration, deadline *time.Time) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	end := time.Now().Add(delay)
	for end.Before(*deadline) {
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		case at := <-stopped:
			if bound := at.Add(stopTimeout); bound.Before(*deadline) {
				*deadline = bound
			}
		}
	}
	return false
}
