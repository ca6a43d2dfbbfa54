// Consumer is what a program that reads one partition of a DIS stream looks like with the gateway: it resumes after its
// checkpoint, processes, commits after so many records or so long, and finishes with a last commit. It knows only the generated stubs.
//
//	go run ./example/consumer -stream orders -app billing -partition 0
//
// The part to learn from is consumer.go. The record stream is simulated.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"iter"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
)

// serviceConfig is that of clients/service-config.json: the deadline of each call, and to wait for a gateway that is
// not there yet. Its retries are left to consumer.retry, which says what it does and heeds the gateway's RetryInfo.
//
//go:embed service-config.json
var serviceConfig string

func main() {
	target := flag.String("target", "127.0.0.1:50551", "the gateway: host:port, or unix:///path")
	stream := flag.String("stream", "", "name of the DIS stream (mandatory)")
	app := flag.String("app", "", "name of the consuming DIS app (mandatory)")
	partition := flag.String("partition", "0", `partition, such as "0" or "shardId-0000000000"`)
	records := flag.Int("records", 0, "stop after so many records; 0 goes on until SIGTERM or SIGINT")
	commitEvery := flag.Int("commit-every", 10, "commit after so many records")
	commitAfter := flag.Duration("commit-after", time.Second, "commit at the latest after so long")
	interval := flag.Duration("interval", 100*time.Millisecond, "time between two records")
	flag.Parse()
	if *stream == "" || *app == "" || *records < 0 || *commitEvery < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "consumer: -stream and -app are mandatory, -records is 0 or more, -commit-every 1 or more")
		flag.Usage()
		os.Exit(2)
	}

	// The first signal ends the stream of records, and the consumer finishes; a second one kills as usual.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)

	conn, err := dial(*target)
	if err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(2)
	}
	defer conn.Close()
	c := &consumer{
		gateway:     pb.NewCheckpointServiceClient(conn),
		key:         &pb.CheckpointKey{StreamName: *stream, AppName: *app, PartitionId: *partition},
		commitEvery: *commitEvery,
		commitAfter: *commitAfter,
		now:         time.Now,
		records:     simulated(*records, *interval),
		pause:       pause,
		out:         os.Stdout,
	}
	if err := c.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

// dial prepares a connection. grpc connects with the first call, and again by itself when the gateway was away.
func dial(target string) (*grpc.ClientConn, error) {
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay, reconnect.MaxDelay = 100*time.Millisecond, time.Second // a sidecar is back within seconds
	return grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // loopback, or a socket in the same pod
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: callTimeout}),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDisableRetry(),
	)
}

// simulated stands for the DIS stream. A real consumer opens a DIS cursor of type AFTER_SEQUENCE_NUMBER at the
// checkpoint's number (TRIM_HORIZON where there is none) and reads records from it. It takes each record's number as it
// comes, and never counts on its own.
func simulated(limit int, interval time.Duration) func(context.Context, int64) iter.Seq[int64] {
	return func(ctx context.Context, after int64) iter.Seq[int64] {
		return func(yield func(int64) bool) {
			for n := 1; limit == 0 || n <= limit; n++ {
				pause(ctx, interval)
				if ctx.Err() != nil || !yield(after+int64(n)) {
					return
				}
			}
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
