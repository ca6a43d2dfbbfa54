// Load and peers for the benchmarks: callers that read and commit, servers to compare the gateway with, and a DIS that
// only waits. Each run prints one line of JSON.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"log"
	"os"
	"time"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

var (
	mode = flag.String("mode", "hot",
		"load: hot, hotstream, batch, stream, get, open, batchget, mixed, hold; servers: dis, echo, native")
	target      = flag.String("target", "127.0.0.1:50551", "the gateway, or a peer")
	method      = flag.String("method", pb.CheckpointService_GetCheckpoint_FullMethodName, "what is called (get, open)")
	callers     = flag.Int("callers", 64, "how many call at once")
	connections = flag.Int("connections", 1, "connections that the callers share")
	prime       = flag.Bool("prime", false, "read each key once before anything is measured (get, batchget)")
	rotate      = flag.Bool("rotate", false, "each call takes the next connection (get, batchget)")
	sets        = flag.Bool("sets", false, "batches have no key in common, and come again and again (batchget)")
	window      = flag.Int("window", 1, "commits of one caller that are not acknowledged yet (hotstream)")
	seconds     = flag.Float64("seconds", 5, "how long")
	keys        = flag.Int("keys", 1000, "how many keys")
	spread      = flag.Int("spread", 1<<30, "over how many keys the commits are spread (batch, stream)")
	rounds      = flag.Int("rounds", 5, "how many times (batch, stream)")
	rate        = flag.Float64("rate", 1000, "calls a second, whether they are answered or not (open, mixed)")
	stall       = flag.String("stall", "", "URL of the DIS that is to stall in the second half (mixed)")
	token       = flag.String("token", "", "shown with each call")
	ca          = flag.String("ca", "", "file of the CA that the server's certificate is from")
	listen      = flag.String("listen", "127.0.0.1:0", "where to serve (echo, native)")
	delay       = flag.Duration("delay", 20*time.Millisecond, "how long each answer takes (dis)")
)

// connect opens the connections, and makes a call over each so that they are there.
func connect() []*grpc.ClientConn {
	security := insecure.NewCredentials()
	if *ca != "" {
		pem, err := os.ReadFile(*ca)
		if err != nil {
			log.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		security = credentials.NewTLS(&tls.Config{RootCAs: pool})
	}
	conns := make([]*grpc.ClientConn, *connections)
	for place := range conns {
		conn, err := grpc.NewClient(*target, grpc.WithTransportCredentials(security),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
		if err != nil {
			log.Fatal(err)
		}
		conns[place] = conn
	}
	return conns
}

// caller is the context of each call.
func caller() context.Context {
	if *token == "" {
		return context.Background()
	}
	return metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+*token)
}

// counted is what commits print.
func counted(done int64, took time.Duration) map[string]any {
	return map[string]any{"acknowledged": done, "seconds": took.Seconds()}
}

func main() {
	flag.Parse()
	switch *mode {
	case "dis":
		serveDis(*delay)
	case "echo":
		serveEcho()
	case "native":
		serveNative()
	}
	conns := connect()
	gateway := pb.NewCheckpointServiceClient(conns[0])
	var result map[string]any
	switch *mode {
	case "hot":
		done, overtaken, took := hot(gateway)
		result = counted(done, took)
		result["overtaken"] = overtaken
	case "hotstream":
		result = counted(hotStream(gateway))
	case "batch", "stream":
		run := map[string]func(pb.CheckpointServiceClient, int) int64{"batch": batch, "stream": stream}[*mode]
		result = counted(many(conns, run))
	case "get":
		result = closed(conns, get)
	case "batchget":
		result = closed(conns, batchGet)
	case "open":
		result = open(conns)
	case "mixed":
		result = mixed(conns)
	case "hold":
		result = hold(conns)
	default:
		log.Fatalf("unknown mode %q", *mode)
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}
