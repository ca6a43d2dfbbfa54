// Package disgateway connects to the gateway, and sends a call again where that helps.
package disgateway

import (
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
)

// ServiceConfig is a copy of clients/service-config.json: the deadline of each call, to wait for a gateway that is not
// there yet, and which calls gRPC repeats by itself.
//
//go:embed service-config.json
var ServiceConfig string

// A thousand checkpoints with long metadata are above the 4 MiB that gRPC takes by itself.
const maxAnswer = 16 << 20

// Dial prepares a connection to "host:port" or "unix:///path". gRPC connects with the first call, and again by itself
// when the gateway was away. Options come after its own, so they may replace them.
func Dial(target string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay, reconnect.MaxDelay = 100*time.Millisecond, time.Second // a sidecar is back within seconds
	return grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), // loopback, or a socket in the same pod
		grpc.WithNoProxy(), // nor does a proxy belong in between
		// An attempt to connect that hangs ends no later than the call that waits for it. The default is 20 seconds.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: callTimeout}),
		grpc.WithDefaultServiceConfig(ServiceConfig),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
	}, options...)...)
}

// SequenceNumber returns the number of a checkpoint. An empty or malformed one is an error, never 0.
func SequenceNumber(checkpoint *pb.Checkpoint) (int64, error) {
	number, err := strconv.ParseUint(checkpoint.GetSequenceNumber(), 10, 63) // it takes no sign
	if err != nil {
		return 0, fmt.Errorf("the gateway's sequence number is wrong: %w", err)
	}
	return int64(number), nil
}
