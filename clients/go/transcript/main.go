// Transcript holds the conversation of clients/TRANSCRIPT.md with a gateway whose DIS is the emulator, and prints for
// each step that it went as it must, or what differed. It is a test, and shows every call and how its errors are read.
//
//	go run ./transcript -target 127.0.0.1:50551 -emulator http://127.0.0.1:9552 -stream orders -app billing
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
)

const usage = `transcript -stream NAME -app NAME
It first resets the emulator: everything in it is forgotten.`

const (
	callTimeout   = 10 * time.Second
	streamTimeout = 60 * time.Second
)

func main() {
	target := flag.String("target", "127.0.0.1:50551", "the gateway: host:port, or unix:///path")
	emulator := flag.String("emulator", "http://127.0.0.1:9552", "URL of the emulator behind it, which forgets everything that it has")
	stream := flag.String("stream", "", "name of the DIS stream (mandatory)")
	app := flag.String("app", "", "name of the DIS app (mandatory)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if *stream == "" || *app == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	c := &conversation{target: *target, emulator: *emulator, stream: *stream, app: *app}
	if err := c.hold(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "transcript:", err)
		os.Exit(1)
	}
}

// conversation is what the steps share.
type conversation struct {
	target, emulator, stream, app string

	conn    *grpc.ClientConn
	gateway pb.CheckpointServiceClient
}

// hold prepares the emulator, then takes one step after the other, and stops at the first that fails.
func (c *conversation) hold(ctx context.Context) error {
	if err := c.connect(); err != nil {
		return err
	}
	defer func() { c.conn.Close() }() // that of the last step, which is another one
	if err := c.prepare(ctx); err != nil {
		return err
	}
	for i, step := range steps {
		if err := step.take(c, ctx); err != nil {
			fmt.Printf("FAILED %d %s: %v\n", i+1, step.name, err)
			return fmt.Errorf("step %d failed", i+1)
		}
		fmt.Printf("ok %d %s\n", i+1, step.name)
	}
	return nil
}

func (c *conversation) connect() error {
	conn, err := grpc.NewClient(c.target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithDisableRetry()) // each error is looked at
	if err != nil {
		return err
	}
	c.conn, c.gateway = conn, pb.NewCheckpointServiceClient(conn)
	return nil
}

func (c *conversation) key(partition string) *pb.CheckpointKey {
	return &pb.CheckpointKey{StreamName: c.stream, AppName: c.app, PartitionId: partition}
}

// commit sends a request, with its key for that partition and a deadline.
func (c *conversation) commit(ctx context.Context, partition string, request *pb.CommitCheckpointRequest) (*pb.CommitCheckpointResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request.Key = c.key(partition)
	return c.gateway.CommitCheckpoint(ctx, request)
}

func (c *conversation) get(ctx context.Context, partition string, mode pb.ReadMode) (*pb.GetCheckpointResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.gateway.GetCheckpoint(ctx, &pb.GetCheckpointRequest{Key: c.key(partition), ReadMode: mode})
}

// fresh reads from DIS itself.
func (c *conversation) fresh(ctx context.Context, partition string) (*pb.GetCheckpointResponse, error) {
	return c.get(ctx, partition, pb.ReadMode_READ_MODE_FRESH)
}
