package main

import (
	"context"
	"log"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

func commit(partition int, number int64) *pb.CommitCheckpointRequest {
	return &pb.CommitCheckpointRequest{
		Key:            &pb.CheckpointKey{StreamName: "bench", AppName: "bench", PartitionId: strconv.Itoa(partition)},
		SequenceNumber: strconv.FormatInt(number, 10),
	}
}

// first is above all numbers of earlier runs.
func first() int64 {
	return time.Now().UnixMicro()
}

// hot lets callers commit rising numbers of one key, each waiting for its own acknowledgement. A number that is overtaken
// on its way to the gateway is below what stands there: that is a regression, and told apart. Nothing else may fail.
func hot(gateway pb.CheckpointServiceClient) (acknowledged, overtaken int64, took time.Duration) {
	var number, done, late atomic.Int64
	number.Store(first())
	var wait sync.WaitGroup
	begin := time.Now()
	until := begin.Add(time.Duration(*seconds * float64(time.Second)))
	for range *callers {
		wait.Go(func() {
			for time.Now().Before(until) {
				_, err := gateway.CommitCheckpoint(context.Background(), commit(0, number.Add(1)))
				switch {
				case err == nil:
					done.Add(1)
				case regressed(err):
					late.Add(1)
				default:
					log.Fatal(err)
				}
			}
		})
	}
	wait.Wait()
	return done.Load(), late.Load(), time.Since(begin)
}

// regressed tells whether a commit was refused because a higher number stands there.
func regressed(err error) bool {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason == "CHECKPOINT_REGRESSION"
		}
	}
	return false
}

// hotStream is hot over one stream: callers share it, each with up to *window commits that are not acknowledged yet.
// Numbers go out in their order, so each commit is acknowledged.
func hotStream(gateway pb.CheckpointServiceClient) (acknowledged int64, took time.Duration) {
	commits, err := gateway.StreamCommits(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	room := make([]chan struct{}, *callers)
	for caller := range room {
		room[caller] = make(chan struct{}, *window)
	}
	var number, done, sent atomic.Int64
	number.Store(first())
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for {
			answer, err := commits.Recv()
			if err != nil {
				return
			}
			if answer.GetResponse() == nil {
				log.Fatal(answer)
			}
			done.Add(1)
			<-room[answer.Id%uint64(*callers)]
		}
	}()
	var sending sync.Mutex
	var wait sync.WaitGroup
	begin := time.Now()
	until := begin.Add(time.Duration(*seconds * float64(time.Second)))
	for caller := range *callers {
		wait.Go(func() {
			for turn := 0; time.Now().Before(until); turn++ {
				room[caller] <- struct{}{}
				sending.Lock()
				id := uint64(turn)*uint64(*callers) + uint64(caller)
				err := commits.Send(&pb.StreamCommitsRequest{Id: id, Commit: commit(0, number.Add(1))})
				sending.Unlock()
				if err != nil {
					log.Fatal(err)
				}
				sent.Add(1)
			}
		})
	}
	wait.Wait()
	if err := commits.CloseSend(); err != nil {
		log.Fatal(err)
	}
	<-answered
	if done.Load() != sent.Load() {
		log.Fatalf("%d of %d commits were acknowledged", done.Load(), sent.Load())
	}
	return done.Load(), time.Since(begin)
}

// many lets callers commit *rounds times many keys, each caller those of its own partitions, and gives the time from the
// first call to the last answer. Each commit must be acknowledged.
func many(conns []*grpc.ClientConn, run func(pb.CheckpointServiceClient, int) int64) (acknowledged int64, took time.Duration) {
	var done atomic.Int64
	each := func(times int) {
		var wait sync.WaitGroup
		for caller := range *callers {
			wait.Go(func() {
				for range times {
					done.Add(run(pb.NewCheckpointServiceClient(conns[caller%len(conns)]), caller**keys))
				}
			})
		}
		wait.Wait()
	}
	each(1) // connections are made, and the first commit of a key reads it
	done.Store(0)
	begin := time.Now()
	each(*rounds)
	took = time.Since(begin)
	if wanted := int64(*callers * *rounds * *keys); done.Load() != wanted {
		log.Fatalf("%d of %d commits were acknowledged", done.Load(), wanted)
	}
	return done.Load(), took
}

// batch commits many keys in one call, those from one on.
func batch(gateway pb.CheckpointServiceClient, from int) int64 {
	begin := first()
	request := &pb.BatchCommitCheckpointsRequest{}
	for key := range *keys {
		request.Commits = append(request.Commits, commit(from+key%*spread, begin+int64(key)))
	}
	answer, err := gateway.BatchCommitCheckpoints(context.Background(), request)
	if err != nil {
		log.Fatal(err)
	}
	var done int64
	for _, result := range answer.Results {
		if result.GetResponse() != nil {
			done++
		}
	}
	return done
}

// stream commits many keys over one stream, those from one on.
func stream(gateway pb.CheckpointServiceClient, from int) int64 {
	begin := first()
	commits, err := gateway.StreamCommits(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for key := range *keys {
			if err := commits.Send(&pb.StreamCommitsRequest{Id: uint64(key), Commit: commit(from+key%*spread, begin+int64(key))}); err != nil {
				return
			}
		}
		_ = commits.CloseSend()
	}()
	var done int64
	for {
		answer, err := commits.Recv()
		if err != nil {
			return done
		}
		if answer.GetResponse() != nil {
			done++
		}
	}
}
