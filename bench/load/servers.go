package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"strings"
	"sync"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// serveEcho answers each call of /bench.Echo/Get with its request: what gRPC in Go takes, and nothing else.
func serveEcho() {
	serve(func(server *grpc.Server) {
		server.RegisterService(&grpc.ServiceDesc{
			ServiceName: "bench.Echo",
			HandlerType: (*any)(nil),
			Methods: []grpc.MethodDesc{{
				MethodName: "Get",
				Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
					request := new(pb.GetCheckpointRequest)
					return request, decode(request)
				},
			}},
		}, nil)
	})
}

// native is what a gateway in Go does for a cached read: look at the key, find it in a map, answer.
type native struct {
	pb.UnimplementedCheckpointServiceServer
	mutex sync.RWMutex
	known map[string]*pb.Checkpoint
}

func (n *native) GetCheckpoint(_ context.Context, request *pb.GetCheckpointRequest) (*pb.GetCheckpointResponse, error) {
	if request.Key.GetStreamName() == "" || request.Key.GetAppName() == "" || request.Key.GetPartitionId() == "" {
		return nil, status.Error(codes.InvalidArgument, "key: is mandatory")
	}
	name := request.Key.StreamName + "/" + request.Key.AppName + "/" + request.Key.PartitionId
	n.mutex.RLock()
	found := n.known[name]
	n.mutex.RUnlock()
	if found == nil {
		found = &pb.Checkpoint{Key: request.Key, SequenceNumber: "0"}
		n.mutex.Lock()
		n.known[name] = found
		n.mutex.Unlock()
	}
	return &pb.GetCheckpointResponse{Found: true, Checkpoint: found, Source: pb.CheckpointSource_CHECKPOINT_SOURCE_CACHE}, nil
}

func serveNative() {
	serve(func(server *grpc.Server) {
		pb.RegisterCheckpointServiceServer(server, &native{known: map[string]*pb.Checkpoint{}})
	})
}

// serve prints the address, then serves until it is ended.
func serve(register func(*grpc.Server)) {
	network, address := "tcp", *listen
	if path, unix := strings.CutPrefix(*listen, "unix://"); unix {
		network, address = "unix", path
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	register(server)
	if network == "unix" {
		fmt.Println(*listen)
	} else {
		fmt.Println(listener.Addr())
	}
	log.Fatal(server.Serve(listener))
}
