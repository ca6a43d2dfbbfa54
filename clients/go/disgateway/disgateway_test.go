package disgateway_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway"
	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
)

func TestTheServiceConfigIsTheOneOfAllClients(t *testing.T) {
	want, err := os.ReadFile("../../service-config.json")
	if err != nil {
		t.Fatal(err)
	}
	if disgateway.ServiceConfig != string(want) {
		t.Error("copy clients/service-config.json here")
	}
}

type emptyGateway struct {
	pb.UnimplementedCheckpointServiceServer
	timeLeft time.Duration
}

func (g *emptyGateway) GetCheckpoint(ctx context.Context, _ *pb.GetCheckpointRequest) (*pb.GetCheckpointResponse, error) {
	deadline, _ := ctx.Deadline()
	g.timeLeft = time.Until(deadline)
	return &pb.GetCheckpointResponse{}, nil
}

func TestACallWaitsForAGatewayThatIsStillStartingWithinItsDeadline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.sock")
	conn, err := disgateway.Dial("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	gateway := &emptyGateway{}
	server := grpc.NewServer()
	pb.RegisterCheckpointServiceServer(server, gateway)
	defer server.Stop()
	time.AfterFunc(200*time.Millisecond, func() {
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Error(err)
			return
		}
		server.Serve(listener)
	})
	if _, err := pb.NewCheckpointServiceClient(conn).GetCheckpoint(t.Context(), &pb.GetCheckpointRequest{}); err != nil {
		t.Fatal(err)
	}
	if gateway.timeLeft <= 0 || gateway.timeLeft > 10*time.Second {
		t.Errorf("the call had %v", gateway.timeLeft)
	}
}

type fullGateway struct {
	pb.UnimplementedCheckpointServiceServer
}

func (fullGateway) BatchGetCheckpoints(context.Context, *pb.BatchGetCheckpointsRequest) (*pb.BatchGetCheckpointsResponse, error) {
	checkpoint := &pb.Checkpoint{SequenceNumber: "9", Metadata: strings.Repeat("\U0001F600", 1000)}
	result := &pb.BatchGetCheckpointsResult{Result: &pb.BatchGetCheckpointsResult_Response{
		Response: &pb.GetCheckpointResponse{Found: true, Checkpoint: checkpoint},
	}}
	answer := &pb.BatchGetCheckpointsResponse{}
	for range 1100 {
		answer.Results = append(answer.Results, result)
	}
	return answer, nil
}

func TestTheLargestAnswerIsTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterCheckpointServiceServer(server, fullGateway{})
	defer server.Stop()
	go server.Serve(listener)
	conn, err := disgateway.Dial("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := pb.NewCheckpointServiceClient(conn).BatchGetCheckpoints(t.Context(), &pb.BatchGetCheckpointsRequest{}); err != nil {
		t.Fatal(err)
	}
}

func TestASequenceNumberIsDigitsAlone(t *testing.T) {
	if got, err := disgateway.SequenceNumber(&pb.Checkpoint{SequenceNumber: "9223372036854775807"}); err != nil || got != 1<<63-1 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, wrong := range []string{"", " 1", "+1", "-1", "1.5", "1_0", "0x1", "9223372036854775808", "１"} {
		if got, err := disgateway.SequenceNumber(&pb.Checkpoint{SequenceNumber: wrong}); err == nil {
			t.Errorf("%q is %d", wrong, got)
		}
	}
	if _, err := disgateway.SequenceNumber(nil); err == nil {
		t.Error("no checkpoint has a number")
	}
}
