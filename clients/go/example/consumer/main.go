// Consumer is what a program that reads one partition of a DIS stream looks like with the gateway: it resumes after its
// checkpoint, processes, commits after so many records or seconds, and upon SIGTERM finishes with a last commit. The
// records are simulated.
//
//	go run ./example/consumer -stream orders -app billing -partition 0
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway"
	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
)

var (
	target        = flag.String("target", "127.0.0.1:50551", "the gateway: `host:port`, or unix:///path")
	stream        = flag.String("stream", "", "`name` of the DIS stream (mandatory)")
	app           = flag.String("app", "", "`name` of the consuming DIS app (mandatory)")
	partition     = flag.String("partition", "0", "such as 0 or shardId-0000000000")
	commitEvery   = flag.Int("commit-every", 10, "commit after so many records")
	commitSeconds = flag.Float64("commit-seconds", 1, "and so many seconds after the first uncommitted one")
	interval      = flag.Duration("interval", 100*time.Millisecond, "time between two records")
	clientID      = flag.String("client-id", "", "member of the consumer group, as the DIS coordinator gave it")
	generationID  = flag.String("generation-id", "", "of the consumer group, as the DIS coordinator gave it")
)

func main() { os.Exit(run()) }

func run() int {
	flag.Parse()
	if *stream == "" || *app == "" || flag.NArg() > 0 || *commitEvery < 1 || *interval <= 0 ||
		!(*commitSeconds > 0 && *commitSeconds <= 86400) {
		fmt.Fprintln(os.Stderr, "consumer: -stream and -app are mandatory; -commit-every, -commit-seconds (to 86400) and -interval are above 0")
		flag.Usage()
		return 2
	}
	// The first signal ends the consumer in order; a second one kills as usual.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	conn, err := disgateway.Dial(*target)
	if err == nil {
		defer conn.Close()
		err = consume(ctx, pb.NewCheckpointServiceClient(conn))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stopped:", err) // the next start reads what stands
		return 1
	}
	return 0
}

// consume processes the records after the checkpoint until ctx ends.
func consume(ctx context.Context, gateway pb.CheckpointServiceClient) error {
	key := &pb.CheckpointKey{StreamName: *stream, AppName: *app, PartitionId: *partition}
	last, err := disgateway.Resume(ctx, gateway, key)
	switch {
	case ctx.Err() != nil:
		fmt.Println("processed 0 records")
		return nil
	case err != nil:
		return err
	case last == disgateway.NoCheckpoint:
		fmt.Println("no checkpoint: starting at the oldest record")
	default:
		fmt.Println("resuming after", last)
	}

	processed, uncommitted := 0, 0
	var due <-chan time.Time // of the next commit; nil while everything is committed
	// Stands for a DIS cursor of type AFTER_SEQUENCE_NUMBER at the checkpoint, or TRIM_HORIZON where there is none.
	records := time.Tick(*interval)
	for stopping := false; !stopping; {
		isDue := false
		select {
		case <-records:
			// Here a real consumer works on the record. When it has finished it takes the record's own number.
			last++
			processed++
			uncommitted++
			if uncommitted == 1 {
				due = time.After(time.Duration(*commitSeconds * float64(time.Second)))
			}
		case <-due:
			isDue = true
		case <-ctx.Done():
		}
		stopping = ctx.Err() != nil
		if uncommitted > 0 && (stopping || isDue || uncommitted >= *commitEvery) {
			if err := disgateway.Commit(ctx, gateway, &pb.CommitCheckpointRequest{
				Key: key, SequenceNumber: strconv.FormatInt(last, 10), // of the LAST record that is finished
				ClientId: *clientID, GenerationId: *generationID,
			}); err != nil {
				return err
			}
			fmt.Println("committed", last)
			uncommitted, due, stopping = 0, nil, ctx.Err() != nil
		}
	}
	fmt.Printf("processed %d records\n", processed)
	return nil
}
