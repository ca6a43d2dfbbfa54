package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"

	pb "github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/disgateway/v1"
	"github.com/dis-checkpoint-gateway/dis-checkpoint-gateway/clients/go/gatewayerr"
)

const (
	callTimeout  = 5 * time.Second // of one call, the wait for a gateway that is still starting included
	maxAttempts  = 5               // in all less than the 30 s that Kubernetes leaves after SIGTERM
	firstBackoff = 125 * time.Millisecond
)

// noCheckpoint is lower than every sequence number.
const noCheckpoint = int64(-1)

type consumer struct {
	gateway     pb.CheckpointServiceClient
	key         *pb.CheckpointKey
	commitEvery int
	commitAfter time.Duration // at the latest so long after the first record that is not committed; looked at with each record
	now         func() time.Time
	records     func(ctx context.Context, after int64) iter.Seq[int64] // the numbers of the records after that one
	pause       func(ctx context.Context, d time.Duration)
	out         io.Writer
}

// run processes the records after the checkpoint until they end or ctx does, and commits what it has finished.
func (c *consumer) run(ctx context.Context) error {
	last, err := c.resume(ctx)
	if ctx.Err() != nil {
		fmt.Fprintln(c.out, "asked to stop before the first record")
		return nil
	}
	if err != nil {
		// An error never means that there is no checkpoint: starting over here would repeat the whole stream.
		return fmt.Errorf("not started, as the checkpoint cannot be read: %v", gatewayerr.From(err))
	}
	processed, uncommitted := 0, 0
	var since time.Time // the first of the uncommitted ones was finished
	for number := range c.records(ctx, last) {
		// Here a real consumer works on the record, and goes on when it has finished.
		last = number
		processed++
		uncommitted++
		if uncommitted == 1 {
			since = c.now()
		}
		if uncommitted == c.commitEvery || c.now().Sub(since) >= c.commitAfter {
			if err := c.commit(ctx, last); err != nil {
				return err
			}
			uncommitted = 0
		}
	}
	if ctx.Err() != nil {
		fmt.Fprintln(c.out, "asked to stop: finishing")
	}
	if uncommitted > 0 {
		if err := c.commit(ctx, last); err != nil {
			return err
		}
	}
	fmt.Fprintf(c.out, "processed %d records\n", processed)
	return nil
}

// resume returns the number of the last record that an earlier run has finished, or noCheckpoint.
func (c *consumer) resume(ctx context.Context) (int64, error) {
	var answer *pb.GetCheckpointResponse
	err := c.retry(ctx, func(ctx context.Context) (err error) {
		// Fresh, as whoever had the partition before may have committed through another gateway.
		answer, err = c.gateway.GetCheckpoint(ctx, &pb.GetCheckpointRequest{Key: c.key, ReadMode: pb.ReadMode_READ_MODE_FRESH})
		return err
	})
	if err != nil {
		return 0, err
	}
	if !answer.GetFound() {
		fmt.Fprintln(c.out, "no checkpoint: starting at the oldest record")
		return noCheckpoint, nil
	}
	number := answer.GetCheckpoint().GetSequenceNumber()
	fmt.Fprintf(c.out, "resuming after %s\n", number)
	return strconv.ParseInt(number, 10, 64)
}

// commit stores the number of the LAST record that is finished.
func (c *consumer) commit(ctx context.Context, number int64) error {
	// What is finished is committed even when this program is asked to stop meanwhile.
	err := c.retry(context.WithoutCancel(ctx), func(ctx context.Context) error {
		_, err := c.gateway.CommitCheckpoint(ctx, &pb.CommitCheckpointRequest{
			Key: c.key, SequenceNumber: strconv.FormatInt(number, 10),
		})
		return err
	})
	if err != nil {
		return explain(number, gatewayerr.From(err))
	}
	fmt.Fprintf(c.out, "committed %d\n", number)
	return nil
}

// retry calls until there is an answer that stands, a few times at most. A commit whose outcome is unknown is called
// again with the same number: that is safe, whether the first one was stored or not.
func (c *consumer) retry(ctx context.Context, call func(context.Context) error) error {
	wait := firstBackoff
	for attempt := 1; ; attempt++ {
		callCtx, cancel := context.WithTimeout(ctx, callTimeout)
		err := call(callCtx)
		cancel()
		info := gatewayerr.From(err)
		if !info.Retryable() || attempt == maxAttempts || ctx.Err() != nil {
			return err
		}
		if info.Reason == gatewayerr.CommitOutcomeUnknown {
			fmt.Fprintln(c.out, "outcome unknown: committing the same number again")
		} else {
			fmt.Fprintf(c.out, "trying again: %v\n", info)
		}
		c.pause(ctx, max(wait, info.RetryAfter))
		wait *= 2
	}
}

// explain says what a failed commit means. In every case the consumer stops: the next start reads what stands.
func explain(number int64, info gatewayerr.Info) error {
	switch {
	case info.Reason == gatewayerr.CheckpointRegression:
		return fmt.Errorf("stopped at %d: the checkpoint stands at %s, so another consumer reads this partition (%v)",
			number, info.Metadata[gatewayerr.EffectiveSequenceNumber], info)
	case info.Reason == gatewayerr.ConsumerFenced:
		return fmt.Errorf("stopped at %d: another consumer has taken over this partition (%v)", number, info)
	case info.Retryable(): // to the end
		return fmt.Errorf("stopped at %d: whether it is committed is not known (%v)", number, info)
	default:
		return fmt.Errorf("stopped at %d: it is not committed (%v)", number, info)
	}
}
