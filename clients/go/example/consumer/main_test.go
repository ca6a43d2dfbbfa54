package main

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
)

// fakeGateway keeps one checkpoint.
type fakeGateway struct {
	pb.CheckpointServiceClient
	stored  string // empty: no checkpoint
	getErr  error
	commits []string
	at      []time.Duration // of each commit
	began   time.Time
}

func (f *fakeGateway) GetCheckpoint(context.Context, *pb.GetCheckpointRequest, ...grpc.CallOption) (*pb.GetCheckpointResponse, error) {
	f.began = time.Now()
	return &pb.GetCheckpointResponse{Found: f.stored != "", Checkpoint: &pb.Checkpoint{SequenceNumber: f.stored}}, f.getErr
}

func (f *fakeGateway) CommitCheckpoint(_ context.Context, r *pb.CommitCheckpointRequest, _ ...grpc.CallOption) (*pb.CommitCheckpointResponse, error) {
	f.commits = append(f.commits, r.GetSequenceNumber())
	f.at = append(f.at, time.Since(f.began))
	return &pb.CommitCheckpointResponse{Effective: &pb.Checkpoint{SequenceNumber: r.GetSequenceNumber()}}, nil
}

// consumed lets it run for so long.
func (f *fakeGateway) consumed(t *testing.T, every int, between, d time.Duration) (err error) {
	*commitEvery, *interval = every, between
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(d, stop)
		err = consume(ctx, f)
	})
	return err
}

func wantCommits(t *testing.T, f *fakeGateway, want ...string) {
	t.Helper()
	if !slices.Equal(f.commits, want) {
		t.Errorf("commits %v, not %v", f.commits, want)
	}
}

func TestItCommitsTheLastFinishedRecordAlsoWhenAskedToStop(t *testing.T) {
	f := &fakeGateway{}
	if err := f.consumed(t, 3, 100*time.Millisecond, 750*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	wantCommits(t, f, "2", "5", "6")
}

func TestItGoesOnWithTheRecordAfterTheCheckpoint(t *testing.T) {
	f := &fakeGateway{stored: "41"}
	if err := f.consumed(t, 1, 100*time.Millisecond, 250*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	wantCommits(t, f, "42", "43")
}

func TestItCommitsASecondAfterTheFirstUncommittedThoughNoRecordComes(t *testing.T) {
	f := &fakeGateway{}
	if err := f.consumed(t, 100, 10*time.Second, 15*time.Second); err != nil {
		t.Fatal(err)
	}
	wantCommits(t, f, "0")
	if want := []time.Duration{11 * time.Second}; !slices.Equal(f.at, want) {
		t.Errorf("at %v, not %v", f.at, want)
	}
}

func TestNothingNewIsNotCommitted(t *testing.T) {
	f := &fakeGateway{stored: "41"}
	if err := f.consumed(t, 1, time.Minute, time.Second); err != nil {
		t.Fatal(err)
	}
	wantCommits(t, f)
}

func TestAnErrorOrAMalformedNumberIsNotTakenForNoCheckpoint(t *testing.T) {
	for _, f := range []*fakeGateway{{getErr: status.Error(codes.NotFound, "x")}, {stored: "4x"}} {
		if err := f.consumed(t, 1, time.Millisecond, time.Second); err == nil {
			t.Error("it went on")
		}
		wantCommits(t, f)
	}
}
