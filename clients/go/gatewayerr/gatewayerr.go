// Package gatewayerr reads the status details that every error of the gateway carries.
//
// A program decides by Reason. The status code says what kind of failure it is, and Message is for people: neither is
// fine enough to decide by, and the wording of a message may change.
package gatewayerr

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Domain is the ErrorInfo domain of the gateway's own reasons.
const Domain = "disgateway.v1"

// Reasons that a consumer has something to decide on. The comments in checkpoint.proto name the others.
const (
	// CheckpointRegression: DIS has a higher number, given in Metadata[EffectiveSequenceNumber].
	CheckpointRegression = "CHECKPOINT_REGRESSION"
	// ConsumerFenced: another consumer has taken over this partition.
	ConsumerFenced = "CONSUMER_FENCED"
	// ConsumerGroupRebalancing: rejoin the group before the next commit.
	ConsumerGroupRebalancing = "CONSUMER_GROUP_REBALANCING"
	// CommitOutcomeUnknown: the commit may be stored or not. Committing the same number again is safe.
	CommitOutcomeUnknown = "COMMIT_OUTCOME_UNKNOWN"
	// DeleteOutcomeUnknown: the checkpoint may be gone or not. Deleting it again is safe.
	DeleteOutcomeUnknown = "DELETE_OUTCOME_UNKNOWN"
	// DeadlineTooShort: the call had too little time left, so nothing was sent to DIS.
	DeadlineTooShort = "DEADLINE_TOO_SHORT"
)

// EffectiveSequenceNumber is the key in Metadata that goes with CheckpointRegression.
const EffectiveSequenceNumber = "effective_sequence_number"

// Info is everything that an error says.
type Info struct {
	Code    codes.Code
	Message string
	// Reason is empty where the error does not come from the gateway: the connection broke, or the caller's own
	// deadline has passed.
	Reason string
	// Metadata has dis_error_code, dis_request_id and http_status where DIS has answered with an error.
	Metadata map[string]string
	// HasRetryInfo says that there is a RetryInfo, and RetryAfter how long it asks to wait: 0 is possible.
	HasRetryInfo bool
	RetryAfter   time.Duration
	// Fields are the fields of the request that are wrong.
	Fields []Field

	notStatus bool // it does not come from gRPC
}

// Field is one field of the request that is wrong.
type Field struct {
	Name    string // its path, such as "key.partition_id"
	Problem string
}

// From reads what err says. It takes every error, wrapped ones included; nil is an Info with codes.OK. The status of
// one element of a batch is read by From(status.ErrorProto(s)).
func From(err error) Info {
	s, ok := status.FromError(err)
	if !ok {
		s = status.FromContextError(err)
	}
	info := Info{Code: s.Code(), Message: s.Message(), notStatus: !ok}
	for _, detail := range s.Details() { // one that cannot be decoded is an error, and is passed over
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			// A proxy in between may answer with reasons of its own.
			if d.GetDomain() == Domain {
				info.Reason, info.Metadata = d.GetReason(), d.GetMetadata()
			}
		case *errdetails.RetryInfo:
			info.HasRetryInfo, info.RetryAfter = true, d.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				info.Fields = append(info.Fields, Field{Name: v.GetField(), Problem: v.GetDescription()})
			}
		}
	}
	return info
}

// Retryable says whether the very same call may succeed later. All calls of the gateway may be sent twice: a commit
// stores the same number again, a delete finds nothing left to delete.
//
// A caller who has cancelled the call itself knows better: gRPC's error has the same code as one that was cancelled by
// somebody in between.
func (i Info) Retryable() bool {
	switch i.Reason {
	case CommitOutcomeUnknown, DeleteOutcomeUnknown, DeadlineTooShort:
		return true
	case "":
		switch i.Code {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown, codes.Internal:
			return i.HasRetryInfo || !i.notStatus
		}
	}
	return i.HasRetryInfo
}

// OutcomeUnknown says whether a write may have been carried out all the same. An error without a reason is not from the
// gateway, so it says nothing about that.
func (i Info) OutcomeUnknown() bool {
	switch i.Reason {
	case "":
		return i.Code != codes.OK
	case CommitOutcomeUnknown, DeleteOutcomeUnknown:
		return true
	}
	return false
}

// Advice says what the error means for a consumer that has committed; it is empty where Message says it all.
func (i Info) Advice() string {
	switch i.Reason {
	case CheckpointRegression:
		return "another consumer has this partition, and has committed " + i.Metadata[EffectiveSequenceNumber]
	case ConsumerFenced:
		return "another consumer has taken over this partition"
	case ConsumerGroupRebalancing:
		return "rejoin the consumer group, then read the checkpoint anew"
	}
	return ""
}

// String is one line for a log.
func (i Info) String() string {
	var b strings.Builder
	b.WriteString(i.Code.String())
	if i.Reason != "" {
		b.WriteString(" " + i.Reason)
	}
	b.WriteString(": " + i.Message)
	for _, f := range i.Fields {
		if !strings.Contains(i.Message, f.Name) {
			fmt.Fprintf(&b, " [%s %s]", f.Name, f.Problem)
		}
	}
	for _, key := range []string{"dis_error_code", "dis_request_id"} {
		if v := i.Metadata[key]; v != "" {
			fmt.Fprintf(&b, " (%s %s)", key, v)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ") // a proxy's message may have several lines
}
