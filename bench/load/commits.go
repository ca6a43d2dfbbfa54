package main

import (
	"context"
	"log"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
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

// hot lets callers commit rising numbers of one key, each waiting for its own acknowledgement.
func hot(gateway pb.CheckpointServiceClient) (acknowledged int64, took time.Duration) {
	var number, done atomic.Int64
	number.Store(first())
	var wait sync.WaitGroup
	begin := time.Now()
	until := begin.Add(time.Duration(*seconds * float64(time.Second)))
	for range *callers {
		wait.Go(func() {
			for time.Now().Before(until) {
				// A number that is overtaken on its way here is below what stands: that is a regression, and an answer.
				if _, err := gateway.CommitCheckpoint(context.Background(), commit(0, number.Add(1))); err == nil {
					done.Add(1)
				}
			}
		})
	}
	wait.Wait()
	return done.Load(), time.Since(begin)
}

// hotStream is hot over one stream: callers share it, each with up to *window commits that are not acknowledged yet.
func hotStream(gateway pb.CheckpointServiceClient) (acknowledged int64, took time.Duration) {
	commits, err := gateway.StreamCommits(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	room := make([]chan struct{}, *callers)
	for caller := range room {
		room[caller] = make(chan struct{}, *window)
	}
	var number, done atomic.Int64
	number.Store(first())
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for {
			answer, err := commits.Recv()
			if err != nil {
				return
			}
			if answer.GetResponse() != nil {
				done.Add(1)
			}
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
				sending.Lock() // numbers go out in their order
				id := uint64(turn)*uint64(*callers) + uint64(caller)
				err := commits.Send(&pb.StreamCommitsRequest{Id: id, Commit: commit(0, number.Add(1))})
				sending.Unlock()
				if err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	wait.Wait()
	if err := commits.CloseSend(); err != nil {
		log.Fatal(err)
	}
	<-answered
	return done.Load(), time.Since(begin)
}

// batch commits many keys in one call.
func batch(gateway pb.CheckpointServiceClient) int64 {
	begin := first()
	request := &pb.BatchCommitCheckpointsRequest{}
	for key := range *keys {
		request.Commits = append(request.Commits, commit(key%*spread, begin+int64(key)))
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

// stream commits many keys over one stream.
func stream(gateway pb.CheckpointServiceClient) int64 {
	begin := first()
	commits, err := gateway.StreamCommits(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for key := range *keys {
			if err := commits.Send(&pb.StreamCommitsRequest{Id: uint64(key), Commit: commit(key%*spread, begin+int64(key))}); err != nil {
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
