package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway"
	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
	"github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/gatewayerr"
)

// steps are those of TRANSCRIPT.md, in its order.
var steps = []struct {
	name string
	take func(*conversation, context.Context) error
}{
	{"get nothing", (*conversation).getNothing},
	{"commit", (*conversation).commitFirst},
	{"read back by the other spelling", (*conversation).readBack},
	{"regression refused", (*conversation).regress},
	{"rewind", (*conversation).rewind},
	{"metadata with astral characters", (*conversation).astral},
	{"invalid field", (*conversation).invalid},
	{"batch with one failing item", (*conversation).batch},
	{"stream of 1,000 commits", (*conversation).manyCommits},
	{"watch sees a change", (*conversation).watch},
	{"list with lag", (*conversation).list},
	{"delete", (*conversation).deleteOne},
	{"deadline passes", (*conversation).deadline},
	{"upstream outage", (*conversation).outage},
	{"lost answer", (*conversation).lostAnswer},
	{"fenced consumer", (*conversation).fenced},
	{"resume after reconnecting", (*conversation).resume},
}

func long(partition int) string { return fmt.Sprintf("shardId-%010d", partition) }

func (c *conversation) getNothing(ctx context.Context) error {
	answer, err := c.fresh(ctx, "0")
	return first(
		notFound(answer, err),
		equal("source", answer.GetSource(), pb.CheckpointSource_CHECKPOINT_SOURCE_UPSTREAM))
}

func (c *conversation) commitFirst(ctx context.Context) error {
	answer, err := c.commit(ctx, "0", &pb.CommitCheckpointRequest{SequenceNumber: "41", Metadata: "first"})
	key := answer.GetEffective().GetKey()
	return first(
		committed(answer, err, "41"),
		equal("metadata", answer.GetEffective().GetMetadata(), "first"),
		equal("stream", key.GetStreamName(), c.stream),
		equal("app", key.GetAppName(), c.app),
		equal("partition", key.GetPartitionId(), long(0)),
		equal("checkpoint type", key.GetCheckpointType(), "LAST_READ"))
}

func (c *conversation) readBack(ctx context.Context) error {
	answer, err := c.get(ctx, long(0), pb.ReadMode_READ_MODE_UNSPECIFIED)
	key := answer.GetCheckpoint().GetKey()
	if err := first(
		found(answer, err, "41", "first"),
		equal("partition", key.GetPartitionId(), long(0)),
		equal("checkpoint type", key.GetCheckpointType(), "LAST_READ")); err != nil {
		return err
	}
	answer, err = c.fresh(ctx, "0")
	return first(
		found(answer, err, "41", "first"),
		equal("source", answer.GetSource(), pb.CheckpointSource_CHECKPOINT_SOURCE_UPSTREAM),
		equal("partition", answer.GetCheckpoint().GetKey().GetPartitionId(), long(0)))
}

func (c *conversation) regress(ctx context.Context) error {
	_, err := c.commit(ctx, "0", &pb.CommitCheckpointRequest{SequenceNumber: "9"})
	return expectedError{
		code: codes.FailedPrecondition, reason: gatewayerr.CheckpointRegression,
		metadata: map[string]string{gatewayerr.EffectiveSequenceNumber: "41"},
	}.check(err)
}

func (c *conversation) rewind(ctx context.Context) error {
	answer, err := c.commit(ctx, "0", &pb.CommitCheckpointRequest{SequenceNumber: "9", AllowRewind: true})
	if err := first(
		committed(answer, err, "9"),
		equal("metadata", answer.GetEffective().GetMetadata(), "")); err != nil {
		return err
	}
	read, err := c.fresh(ctx, "0")
	return found(read, err, "9", "")
}

func (c *conversation) astral(ctx context.Context) error {
	thousand := strings.Repeat("\U0001F40D", 1000) // 4,000 bytes, 1,000 characters
	answer, err := c.commit(ctx, "0", &pb.CommitCheckpointRequest{SequenceNumber: "10", Metadata: thousand})
	if err := committed(answer, err, "10"); err != nil {
		return err
	}
	read, err := c.fresh(ctx, "0")
	if err := found(read, err, "10", thousand); err != nil {
		return err
	}
	_, err = c.commit(ctx, "0", &pb.CommitCheckpointRequest{SequenceNumber: "11", Metadata: thousand + "\U0001F40D"})
	return expectedError{code: codes.InvalidArgument, reason: "FIELD_INVALID", field: "metadata"}.check(err)
}

func (c *conversation) invalid(ctx context.Context) error {
	_, err := c.commit(ctx, "0", &pb.CommitCheckpointRequest{SequenceNumber: "1.5"})
	want := expectedError{code: codes.InvalidArgument, reason: "FIELD_INVALID", field: "sequence_number"}
	if err := want.check(err); err != nil {
		return err
	}
	_, err = c.get(ctx, "shardId-7", pb.ReadMode_READ_MODE_UNSPECIFIED)
	want.field = "key.partition_id"
	return want.check(err)
}

func (c *conversation) batch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	commits, err := c.gateway.BatchCommitCheckpoints(ctx, &pb.BatchCommitCheckpointsRequest{
		Commits: []*pb.CommitCheckpointRequest{
			{Key: c.key("1"), SequenceNumber: "20"},
			{Key: c.key("0"), SequenceNumber: "5"},
			{Key: c.key("3"), SequenceNumber: "30"},
		},
	})
	if err != nil {
		return err
	}
	results := commits.GetResults()
	if err := equal("number of results", len(results), 3); err != nil {
		return err
	}
	if err := first(
		committed(results[0].GetResponse(), nil, "20"),
		equal("partition", results[0].GetResponse().GetEffective().GetKey().GetPartitionId(), long(1)),
		expectedError{
			code: codes.FailedPrecondition, reason: gatewayerr.CheckpointRegression,
			metadata: map[string]string{gatewayerr.EffectiveSequenceNumber: "10"},
		}.checkStatus(results[1].GetStatus()),
		committed(results[2].GetResponse(), nil, "30"),
		equal("partition", results[2].GetResponse().GetEffective().GetKey().GetPartitionId(), long(3))); err != nil {
		return err
	}
	reads, err := c.batchGet(ctx, "3", "2", "nonsense")
	if err != nil {
		return err
	}
	return first(
		found(reads[0].GetResponse(), nil, "30", ""),
		equal("partition", reads[0].GetResponse().GetCheckpoint().GetKey().GetPartitionId(), long(3)),
		notFound(reads[1].GetResponse(), nil),
		expectedError{
			code: codes.InvalidArgument, reason: "FIELD_INVALID", field: "keys[2].partition_id",
		}.checkStatus(reads[2].GetStatus()))
}

func (c *conversation) batchGet(ctx context.Context, partitions ...string) ([]*pb.BatchGetCheckpointsResult, error) {
	request := &pb.BatchGetCheckpointsRequest{ReadMode: pb.ReadMode_READ_MODE_FRESH}
	for _, partition := range partitions {
		request.Keys = append(request.Keys, c.key(partition))
	}
	answer, err := c.gateway.BatchGetCheckpoints(ctx, request)
	if err != nil {
		return nil, err
	}
	return answer.GetResults(), equal("number of results", len(answer.GetResults()), len(partitions))
}

func (c *conversation) manyCommits(ctx context.Context) error {
	const count = 1000
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	stream, err := c.gateway.StreamCommits(ctx)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() { // sends and receives go side by side: the gateway answers while it takes more
		for id := uint64(1); id <= count; id++ {
			commit := &pb.CommitCheckpointRequest{
				Key: c.key(strconv.FormatUint(id%4, 10)), SequenceNumber: strconv.FormatUint(1000+id, 10),
			}
			if err := stream.Send(&pb.StreamCommitsRequest{Id: id, Commit: commit}); err != nil {
				sent <- err // io.EOF: why the stream ended is told by Recv
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	open := map[uint64]bool{}
	for id := uint64(1); id <= count; id++ {
		open[id] = true
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if !open[answer.GetId()] {
			return fmt.Errorf("id %d is answered twice, or was never sent", answer.GetId())
		}
		delete(open, answer.GetId())
		if err := checkStreamed(answer); err != nil {
			return err
		}
	}
	if err := first(<-sent, equal("number of ids without an answer", len(open), 0)); err != nil {
		return err
	}
	reads, err := c.batchGet(ctx, "0", "1", "2", "3")
	if err != nil {
		return err
	}
	for i, number := range []string{"2000", "1997", "1998", "1999"} {
		if err := found(reads[i].GetResponse(), nil, number, ""); err != nil {
			return err
		}
	}
	return nil
}

func checkStreamed(answer *pb.StreamCommitsResponse) error {
	id, response := answer.GetId(), answer.GetResponse()
	if response == nil {
		return fmt.Errorf("id %d failed: %v", id, answer.GetStatus())
	}
	// A higher number of the same partition may stand for this one. Numbers are compared as integers.
	own := 1000 + int64(id)
	effective, err := disgateway.SequenceNumber(response.GetEffective())
	result := pb.CommitResult_COMMIT_RESULT_COMMITTED
	if effective > own {
		result = pb.CommitResult_COMMIT_RESULT_SUPERSEDED
	}
	return first(
		err,
		equal(fmt.Sprintf("id %d: at least its own number", id), effective >= own, true),
		equal(fmt.Sprintf("result of id %d", id), response.GetResult(), result),
		equal("partition", response.GetEffective().GetKey().GetPartitionId(), long(int(id%4))))
}

func (c *conversation) watch(ctx context.Context) error {
	streamCtx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel() // ends the stream
	stream, err := c.gateway.WatchCheckpoints(streamCtx, &pb.WatchCheckpointsRequest{Keys: []*pb.CheckpointKey{c.key("2")}})
	if err != nil {
		return err
	}
	seen := func(number, metadata string) error {
		change, err := stream.Recv()
		if err != nil {
			return err
		}
		return first(
			equal("found", change.GetFound(), true),
			equal("partition", change.GetKey().GetPartitionId(), long(2)),
			equal("number", change.GetCheckpoint().GetSequenceNumber(), number),
			equal("metadata", change.GetCheckpoint().GetMetadata(), metadata))
	}
	if err := seen("1998", ""); err != nil {
		return err
	}
	answer, err := c.commit(ctx, "2", &pb.CommitCheckpointRequest{SequenceNumber: "2100", Metadata: "watched"})
	if err := committed(answer, err, "2100"); err != nil {
		return err
	}
	return seen("2100", "watched")
}

func (c *conversation) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	offsets := body{"stream": c.stream, "partition": "2", "earliest": 1000, "latest": 2150}
	if err := c.control(ctx, http.MethodPut, "offsets", offsets); err != nil {
		return err
	}
	request := &pb.ListCheckpointsRequest{StreamName: c.stream, AppName: c.app, PageSize: 3}
	page, err := c.gateway.ListCheckpoints(ctx, request)
	if err != nil {
		return err
	}
	if err := first(
		standing(page.GetPartitions(), 0, "2000", "1997", "2100"),
		equal("whether there is a token", page.GetNextPageToken() != "", true)); err != nil {
		return err
	}
	third := page.GetPartitions()[2]
	if err := first(
		equal("earliest", third.GetEarliestSequenceNumber(), "1000"),
		equal("latest", third.GetLatestSequenceNumber(), "2150"),
		equal("lag", third.GetLag(), 50)); err != nil {
		return err
	}
	request.PageToken = page.GetNextPageToken()
	page, err = c.gateway.ListCheckpoints(ctx, request)
	if err != nil {
		return err
	}
	return first(
		standing(page.GetPartitions(), 3, "1999"),
		equal("token", page.GetNextPageToken(), ""))
}

// standing checks the partitions of a page, which begins with that one.
func standing(partitions []*pb.PartitionState, begin int, numbers ...string) error {
	if err := equal("number of partitions", len(partitions), len(numbers)); err != nil {
		return err
	}
	for i, one := range partitions {
		if err := first(
			equal("partition", one.GetCheckpoint().GetKey().GetPartitionId(), long(begin+i)),
			equal("found", one.GetFound(), true),
			equal("number", one.GetCheckpoint().GetSequenceNumber(), numbers[i]),
			equal("status", one.GetStatus(), "ACTIVE")); err != nil {
			return err
		}
	}
	return nil
}

func (c *conversation) deleteOne(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request := &pb.DeleteCheckpointRequest{Key: c.key("3")}
	if _, err := c.gateway.DeleteCheckpoint(ctx, request); err != nil {
		return err
	}
	answer, err := c.fresh(ctx, "3")
	if err := notFound(answer, err); err != nil {
		return err
	}
	_, err = c.gateway.DeleteCheckpoint(ctx, request)
	return err
}

func (c *conversation) deadline(ctx context.Context) error {
	if err := c.fault(ctx, body{"kind": "hold", "method": "GET", "times": 0}); err != nil {
		return err
	}
	began := time.Now()
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	_, err := c.fresh(short, "0")
	took := time.Since(began)
	info := gatewayerr.From(err)
	if err := first(
		equal("code", info.Code, codes.DeadlineExceeded),
		equal("a known reason", info.Reason == "" || info.Reason == "UPSTREAM_TOO_SLOW", true),
		equal("within 3 seconds", took < 3*time.Second, true),
		c.clearFaults(ctx),
		c.control(ctx, http.MethodPost, "release", nil)); err != nil {
		return err
	}
	answer, err := c.fresh(ctx, "0")
	return found(answer, err, "2000", "")
}

func (c *conversation) outage(ctx context.Context) error {
	if err := c.fault(ctx, body{"kind": "error", "code": "DIS.5000", "method": "GET", "times": 0}); err != nil {
		return err
	}
	_, err := c.fresh(ctx, "0")
	if err := first(
		expectedError{
			code: codes.Unavailable, reason: "UPSTREAM_UNAVAILABLE", retry: true,
			metadata: map[string]string{"dis_error_code": "DIS.5000", "http_status": "500"},
		}.check(err),
		c.clearFaults(ctx)); err != nil {
		return err
	}
	answer, err := c.fresh(ctx, "0")
	return found(answer, err, "2000", "")
}

func (c *conversation) lostAnswer(ctx context.Context) error {
	if err := c.fault(ctx, body{"kind": "cut_after", "method": "POST", "times": 1}); err != nil {
		return err
	}
	_, err := c.commit(ctx, "0", &pb.CommitCheckpointRequest{SequenceNumber: "2200"})
	info := gatewayerr.From(err)
	if err := first(
		equal("code", info.Code, codes.Unavailable),
		equal("reason", info.Reason, gatewayerr.CommitOutcomeUnknown),
		equal("number of fields", len(info.Fields), 0)); err != nil {
		return err
	}
	answer, err := c.commit(ctx, "0", &pb.CommitCheckpointRequest{SequenceNumber: "2200"})
	return committed(answer, err, "2200")
}

func (c *conversation) fenced(ctx context.Context) error {
	if err := c.fault(ctx, body{"kind": "error", "code": "DIS.4702", "method": "POST", "times": 1}); err != nil {
		return err
	}
	_, err := c.commit(ctx, "0", &pb.CommitCheckpointRequest{
		SequenceNumber: "2300", ClientId: "consumer-1", GenerationId: "7",
	})
	return expectedError{
		code: codes.FailedPrecondition, reason: gatewayerr.ConsumerFenced,
		metadata: map[string]string{"dis_error_code": "DIS.4702", "http_status": "400"},
	}.check(err)
}

func (c *conversation) resume(ctx context.Context) error {
	if err := first(c.conn.Close(), c.connect()); err != nil {
		return err
	}
	read, err := c.fresh(ctx, "0")
	if err := first(
		found(read, err, "2200", ""),
		equal("source", read.GetSource(), pb.CheckpointSource_CHECKPOINT_SOURCE_UPSTREAM)); err != nil {
		return err
	}
	answer, err := c.commit(ctx, "0", &pb.CommitCheckpointRequest{SequenceNumber: "2201"})
	return committed(answer, err, "2201")
}
