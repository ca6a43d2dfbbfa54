package main

import (
	"bytes"
	"context"
	"iter"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
	"github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/gatewayerr"
)

// fakeGateway keeps one checkpoint, and answers the next calls with the errors that a test gives it.
type fakeGateway struct {
	pb.UnimplementedCheckpointServiceServer

	mu           sync.Mutex
	stored       string // empty: no checkpoint
	getErrors    []error
	commitErrors []error
	storeAnyway  bool // a commit that is answered with an error is stored all the same
	commits      []string
	noDeadline   bool
}

func (f *fakeGateway) GetCheckpoint(ctx context.Context, r *pb.GetCheckpointRequest) (*pb.GetCheckpointResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look(ctx)
	if err := next(&f.getErrors); err != nil {
		return nil, err
	}
	if f.stored == "" {
		return &pb.GetCheckpointResponse{}, nil
	}
	return &pb.GetCheckpointResponse{Found: true, Checkpoint: &pb.Checkpoint{Key: r.GetKey(), SequenceNumber: f.stored}}, nil
}

func (f *fakeGateway) CommitCheckpoint(ctx context.Context, r *pb.CommitCheckpointRequest) (*pb.CommitCheckpointResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look(ctx)
	f.commits = append(f.commits, r.GetSequenceNumber())
	err := next(&f.commitErrors)
	if err == nil || f.storeAnyway {
		f.stored = r.GetSequenceNumber()
	}
	if err != nil {
		return nil, err
	}
	return &pb.CommitCheckpointResponse{
		Result:    pb.CommitResult_COMMIT_RESULT_COMMITTED,
		Effective: &pb.Checkpoint{Key: r.GetKey(), SequenceNumber: f.stored},
	}, nil
}

func (f *fakeGateway) look(ctx context.Context) {
	if _, ok := ctx.Deadline(); !ok {
		f.noDeadline = true
	}
}

func next(errs *[]error) error {
	if len(*errs) == 0 {
		return nil
	}
	err := (*errs)[0]
	*errs = (*errs)[1:]
	return err
}

// failure is an error as the gateway sends it.
func failure(t *testing.T, code codes.Code, reason string, metadata map[string]string) error {
	t.Helper()
	s, err := status.New(code, "the message").WithDetails(
		&errdetails.ErrorInfo{Domain: gatewayerr.Domain, Reason: reason, Metadata: metadata})
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

type harness struct {
	*consumer
	seen   []int64 // the records that were processed
	pauses []time.Duration
	clock  time.Time // as long as the test does not set it on, no time passes
	out    bytes.Buffer
}

// start serves the fake on a free port and makes a consumer that will see so many records.
func start(t *testing.T, fake *fakeGateway, records int) *harness {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, listener, listener.Addr().String(), fake, records)
}

func startOn(t *testing.T, listener net.Listener, target string, fake *fakeGateway, records int) *harness {
	t.Helper()
	server := grpc.NewServer()
	pb.RegisterCheckpointServiceServer(server, fake)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := dial(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	h := &harness{}
	h.consumer = &consumer{
		gateway:     pb.NewCheckpointServiceClient(conn),
		key:         &pb.CheckpointKey{StreamName: "orders", AppName: "billing", PartitionId: "0"},
		commitEvery: 3,
		commitAfter: time.Minute,
		now:         func() time.Time { return h.clock },
		records: func(ctx context.Context, after int64) iter.Seq[int64] {
			return h.record(simulated(records, 0)(ctx, after))
		},
		pause: func(_ context.Context, d time.Duration) { h.pauses = append(h.pauses, d) },
		out:   &h.out,
	}
	t.Cleanup(func() {
		if fake.noDeadline {
			t.Error("a call had no deadline")
		}
	})
	return h
}

func (h *harness) record(numbers iter.Seq[int64]) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for number := range numbers {
			h.seen = append(h.seen, number)
			if !yield(number) {
				return
			}
		}
	}
}

func (h *harness) wantOutput(t *testing.T, lines ...string) {
	t.Helper()
	if want := strings.Join(lines, "\n") + "\n"; h.out.String() != want {
		t.Errorf("printed:\n%swant:\n%s", h.out.String(), want)
	}
}

func wantEqual[E comparable](t *testing.T, what string, got []E, want ...E) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestFirstStartBeginsAtTheOldestRecordAndCommitsTheLastFinished(t *testing.T) {
	fake := &fakeGateway{}
	h := start(t, fake, 7)
	if err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "records", h.seen, 0, 1, 2, 3, 4, 5, 6)
	wantEqual(t, "commits", fake.commits, "2", "5", "6")
	h.wantOutput(t, "no checkpoint: starting at the oldest record",
		"committed 2", "committed 5", "committed 6", "processed 7 records")
}

func TestWhatIsFinishedIsCommittedAfterAWhileThoughFewRecordsCome(t *testing.T) {
	fake := &fakeGateway{}
	h := start(t, fake, 5)
	h.commitEvery = 100
	h.now = func() time.Time {
		h.clock = h.clock.Add(15 * time.Second) // with the first of those that are not committed it is looked at twice
		return h.clock
	}
	if err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "commits", fake.commits, "3", "4")
}

func TestRestartGoesOnWithTheRecordAfterTheCheckpoint(t *testing.T) {
	fake := &fakeGateway{stored: "41"}
	h := start(t, fake, 3)
	if err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "records", h.seen, 42, 43, 44)
	wantEqual(t, "commits", fake.commits, "44")
	h.wantOutput(t, "resuming after 41", "committed 44", "processed 3 records")
}

func TestOverAUnixSocketItWorksTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gw.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	fake := &fakeGateway{stored: "41"}
	h := startOn(t, listener, "unix://"+path, fake, 1)
	if err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "commits", fake.commits, "42")
}

func TestAskedToStopItCommitsWhatItHasFinishedAndNothingMore(t *testing.T) {
	fake := &fakeGateway{stored: "41"}
	h := start(t, fake, 0)
	ctx, cancel := context.WithCancel(t.Context())
	endless := h.records
	h.records = func(ctx context.Context, after int64) iter.Seq[int64] {
		return func(yield func(int64) bool) {
			for number := range endless(ctx, after) {
				if number == 46 {
					cancel() // the signal comes while this record is being processed
				}
				if !yield(number) {
					return
				}
			}
		}
	}
	if err := h.run(ctx); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "commits", fake.commits, "44", "46")
	h.wantOutput(t, "resuming after 41", "committed 44", "asked to stop: finishing", "committed 46", "processed 5 records")

	again := start(t, fake, 1)
	if err := again.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "records of the next run", again.seen, 47)
}

func TestAskedToStopWithNothingNewItCommitsNothing(t *testing.T) {
	fake := &fakeGateway{stored: "41"}
	h := start(t, fake, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.run(ctx); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "commits", fake.commits)
	h.wantOutput(t, "asked to stop before the first record")
}

func TestACommitOfUnknownOutcomeIsRepeatedWithTheSameNumber(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.DeadlineExceeded} {
		for _, stored := range []bool{true, false} {
			t.Run(code.String()+" stored "+strconv.FormatBool(stored), func(t *testing.T) {
				fake := &fakeGateway{
					storeAnyway:  stored,
					commitErrors: []error{failure(t, code, gatewayerr.CommitOutcomeUnknown, nil)},
				}
				h := start(t, fake, 3)
				if err := h.run(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantEqual(t, "commits", fake.commits, "2", "2")
				h.wantOutput(t, "no checkpoint: starting at the oldest record",
					"outcome unknown: committing the same number again", "committed 2", "processed 3 records")
			})
		}
	}
}

func TestItStopsAndExplainsWhenTheCommitIsRefused(t *testing.T) {
	tests := []struct {
		name string
		err  error
		says []string
	}{
		{
			name: "regression",
			err: failure(t, codes.FailedPrecondition, gatewayerr.CheckpointRegression,
				map[string]string{gatewayerr.EffectiveSequenceNumber: "60"}),
			says: []string{"stopped at 44", "stands at 60", "another consumer"},
		},
		{
			name: "fenced",
			err:  failure(t, codes.FailedPrecondition, gatewayerr.ConsumerFenced, map[string]string{"dis_error_code": "DIS.4702"}),
			says: []string{"stopped at 44", "taken over", "DIS.4702"},
		},
		{
			name: "anything else",
			err:  failure(t, codes.NotFound, "STREAM_NOT_FOUND", nil),
			says: []string{"stopped at 44", "not committed", "STREAM_NOT_FOUND"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fake := &fakeGateway{stored: "41", commitErrors: []error{tt.err}}
			h := start(t, fake, 9)
			err := h.run(t.Context())
			if err == nil {
				t.Fatal("it went on")
			}
			for _, want := range tt.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			wantEqual(t, "records", h.seen, 42, 43, 44)
			wantEqual(t, "commits", fake.commits, "44")
		})
	}
}

func TestAnErrorOnReadingTheCheckpointIsNotTakenForHavingNone(t *testing.T) {
	fake := &fakeGateway{getErrors: []error{failure(t, codes.FailedPrecondition, "UPSTREAM_CREDENTIALS_REJECTED", nil)}}
	h := start(t, fake, 3)
	err := h.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "UPSTREAM_CREDENTIALS_REJECTED") {
		t.Errorf("got %v", err)
	}
	wantEqual(t, "records", h.seen)
	wantEqual(t, "commits", fake.commits)
}

func TestItWaitsAsLongAsTheGatewaySays(t *testing.T) {
	throttled, err := status.New(codes.ResourceExhausted, "DIS throttles").WithDetails(
		&errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	fake := &fakeGateway{commitErrors: []error{throttled.Err()}}
	h := start(t, fake, 3)
	if err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "commits", fake.commits, "2", "2")
	wantEqual(t, "pauses", h.pauses, 7*time.Second)
}

func TestItGivesUpOnAGatewayThatStaysUnavailable(t *testing.T) {
	fake := &fakeGateway{commitErrors: slices.Repeat([]error{failure(t, codes.Unavailable, "UPSTREAM_UNAVAILABLE", nil)}, 99)}
	h := start(t, fake, 3)
	err := h.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "not known") {
		t.Errorf("got %v", err)
	}
	wantEqual(t, "commits", fake.commits, "2", "2", "2", "2", "2")
	wantEqual(t, "pauses", h.pauses, firstBackoff, 2*firstBackoff, 4*firstBackoff, 8*firstBackoff)
}
