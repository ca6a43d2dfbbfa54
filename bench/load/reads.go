package main

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// memoryMost is from how many bytes on the collector works all the same.
const memoryMost = 1 << 30

func key(partition int) *pb.CheckpointKey {
	return &pb.CheckpointKey{StreamName: "bench", AppName: "bench", PartitionId: strconv.Itoa(partition)}
}

// get reads one checkpoint. The echo answers with the request: what is in an answer that is not for us is not looked at.
func get(ctx context.Context, conn *grpc.ClientConn, partition int) error {
	var answer pb.GetCheckpointResponse
	return conn.Invoke(ctx, *method, &pb.GetCheckpointRequest{Key: key(partition)}, &answer)
}

// verify reads one checkpoint and looks at the answer, where it is not an echo's.
func verify(conn *grpc.ClientConn, partition int) {
	if *method != pb.CheckpointService_GetCheckpoint_FullMethodName {
		return
	}
	answer, err := pb.NewCheckpointServiceClient(conn).GetCheckpoint(caller(), &pb.GetCheckpointRequest{Key: key(partition)})
	if err != nil {
		log.Fatal(err)
	}
	got, wanted := answer.GetCheckpoint(), key(partition)
	same := got.GetKey().GetStreamName() == wanted.StreamName && got.GetKey().GetAppName() == wanted.AppName
	switch got.GetKey().GetPartitionId() {
	case wanted.PartitionId, fmt.Sprintf("shardId-%010d", partition): // the long form of the same
	default:
		same = false
	}
	known := answer.Source == pb.CheckpointSource_CHECKPOINT_SOURCE_CACHE ||
		answer.Source == pb.CheckpointSource_CHECKPOINT_SOURCE_UPSTREAM
	if !answer.Found || !same || !known || got.GetSequenceNumber() == "" {
		log.Fatalf("a wrong answer: %v", answer)
	}
}

// batchGet reads a hundred in one call: with -sets one of those that consumers have who share all keys, each its own, and
// else any that follow each other.
func batchGet(ctx context.Context, conn *grpc.ClientConn, partition int) error {
	request := &pb.BatchGetCheckpointsRequest{}
	if *sets {
		partition *= 100
	}
	for step := range 100 {
		request.Keys = append(request.Keys, key((partition+step)%*keys))
	}
	answer, err := pb.NewCheckpointServiceClient(conn).BatchGetCheckpoints(ctx, request)
	if err == nil && len(answer.Results) != 100 {
		log.Fatalf("%d results for 100 keys", len(answer.Results))
	}
	return err
}

// closed lets callers read one after the other, each waiting for its answer, from any key on: a run that is too short for
// all of them is not one of the first few.
func closed(conns []*grpc.ClientConn, call func(context.Context, *grpc.ClientConn, int) error) map[string]any {
	for _, conn := range conns {
		if err := call(caller(), conn, 0); err != nil {
			log.Fatal(err)
		}
	}
	if *prime {
		readAll(conns)
	}
	var wait sync.WaitGroup
	first := rand.IntN(*keys)
	times := make([][]time.Duration, *callers)
	used := cpu()
	begin := time.Now()
	until := begin.Add(time.Duration(*seconds * float64(time.Second)))
	for number := range *callers {
		wait.Go(func() {
			ctx, conn := caller(), conns[number%len(conns)]
			for turn := first + number; ; turn += *callers {
				if *rotate {
					conn = conns[turn%len(conns)]
				}
				started := time.Now()
				if started.After(until) {
					return
				}
				if err := call(ctx, conn, turn%*keys); err != nil {
					log.Fatal(err)
				}
				times[number] = append(times[number], time.Since(started))
			}
		})
	}
	wait.Wait()
	result := summary(slices.Concat(times...), time.Since(begin))
	result["cpu"] = (cpu() - used).Seconds()
	verify(conns[0], *keys-1)
	return result
}

// cpu is what this program has used of a processor.
func cpu() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// readAll has each key read, so that it is cached.
func readAll(conns []*grpc.ClientConn) {
	const side = 16
	var wait sync.WaitGroup
	for first := range side {
		wait.Go(func() {
			for number := first; number < *keys; number += side {
				if err := get(caller(), conns[number%len(conns)], number); err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	wait.Wait()
}

// hold opens the connections with a call on each, reads over the first of them, and keeps the others.
func hold(conns []*grpc.ClientConn) map[string]any {
	for _, conn := range conns {
		if err := get(caller(), conn, 0); err != nil {
			log.Fatal(err)
		}
	}
	return closed(conns[:1], get)
}

// open calls at a steady rate, whether calls are answered or not; times count from when a call was to begin. How late
// it began by this program's fault is told apart.
func open(conns []*grpc.ClientConn) map[string]any {
	readAll(conns)
	count := int(*rate * *seconds)
	times, late := make([]time.Duration, count), make([]time.Duration, count)
	var failed atomic.Int64
	began := time.Now()
	paced(count, func(number int, due time.Time) {
		late[number] = time.Since(due)
		if err := get(caller(), conns[number%len(conns)], number%*keys); err != nil {
			log.Print(err)
			failed.Add(1)
		}
		times[number] = time.Since(due)
	})
	took := time.Since(began)
	verify(conns[0], *keys-1)
	result := summary(times, took)
	result["failed"], result["late"] = failed.Load(), summary(late, took)
	return result
}

// paced begins calls at the rate, each at its own time. It sleeps in the kernel, as Go's own timers may be a millisecond
// late, and other goroutines run meanwhile. This program's collector stands still, as a call in a hundred would meet it:
// what is measured is the server.
func paced(count int, call func(number int, due time.Time)) {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryMost)
	runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0)))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		log.Fatal(err)
	}
	var wait sync.WaitGroup
	begin := time.Now()
	for number := range count {
		due := begin.Add(time.Duration(float64(number) / *rate * float64(time.Second)))
		if left := time.Until(due); left > 0 {
			rest := unix.NsecToTimespec(left.Nanoseconds())
			_ = unix.Nanosleep(&rest, nil) // when a signal ends it early, the call is early
		}
		wait.Go(func() { call(number, due) })
	}
	wait.Wait()
}

// mixed is 90% reads of what is cached, 8% commits and 2% reads of what is not, at a steady rate. Half of the time
// DIS is well, then it stalls. The times are those of the cached reads that began in each half; the others are counted, and
// those of them that failed: as long as DIS is well there may be none.
func mixed(conns []*grpc.ClientConn) map[string]any {
	readAll(conns)
	half := int(*rate * *seconds / 2)
	var lock sync.Mutex
	var halves [2][]time.Duration
	var others, failed [2]atomic.Int64
	kinds := rand.New(rand.NewPCG(1, 2))
	kind := make([]float64, 2*half)
	for number := range kind {
		kind[number] = kinds.Float64()
	}
	began := time.Now()
	paced(2*half, func(number int, due time.Time) {
		when := number / half
		if number == half && *stall != "" {
			go func() {
				answer, err := http.Post(*stall+"/stall", "", nil)
				if err != nil {
					log.Fatal(err)
				}
				_ = answer.Body.Close()
			}()
		}
		conn := conns[number%len(conns)]
		var err error
		switch share := kind[number]; {
		case share < 0.90:
			if err = get(caller(), conn, number%*keys); err != nil {
				log.Fatal(err)
			}
			lock.Lock()
			halves[when] = append(halves[when], time.Since(due))
			lock.Unlock()
		case share < 0.98:
			others[when].Add(1)
			_, err = pb.NewCheckpointServiceClient(conn).CommitCheckpoint(caller(), commit(*keys+number%1000, int64(number)))
		default:
			others[when].Add(1)
			err = get(caller(), conn, *keys+1000+number)
		}
		if err != nil {
			failed[when].Add(1)
			if when == 0 {
				log.Fatal(err)
			}
		}
	})
	took := time.Since(began)
	well, stalled := summary(halves[0], took/2), summary(halves[1], took/2)
	stalled["others"], stalled["failed"] = others[1].Load(), failed[1].Load()
	return map[string]any{"well": well, "stalled": stalled}
}

// summary gives percentiles in microseconds.
func summary(times []time.Duration, took time.Duration) map[string]any {
	slices.Sort(times)
	result := map[string]any{"calls": len(times), "seconds": took.Seconds()}
	for name, share := range map[string]float64{"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1} {
		if len(times) > 0 {
			result[name] = float64(times[min(len(times)-1, int(share*float64(len(times))))].Nanoseconds()) / 1000
		}
	}
	return result
}
