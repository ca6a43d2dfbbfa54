#pragma once

#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace disgateway {

// The domain of the gateway's own reasons.
inline constexpr char kDomain[] = "disgateway.v1";

// Reasons that a consumer has something to decide on. The comments of the proto name the others.
namespace reason {
// DIS has a higher number: `effective_sequence_number` in the metadata.
inline constexpr char kCheckpointRegression[] = "CHECKPOINT_REGRESSION";
// Another consumer has taken over this partition.
inline constexpr char kConsumerFenced[] = "CONSUMER_FENCED";
// Rejoin the group before the next commit.
inline constexpr char kConsumerGroupRebalancing[] = "CONSUMER_GROUP_REBALANCING";
// The commit may be stored or not. Committing the same number again is safe.
inline constexpr char kCommitOutcomeUnknown[] = "COMMIT_OUTCOME_UNKNOWN";
// The checkpoint may be gone or not. Deleting it again is safe.
inline constexpr char kDeleteOutcomeUnknown[] = "DELETE_OUTCOME_UNKNOWN";
// The call had too little time left: nothing was sent.
inline constexpr char kDeadlineTooShort[] = "DEADLINE_TOO_SHORT";
}  // namespace reason

// A field of the request that is wrong, such as key.partition_id, and why.
struct FieldViolation {
  std::string field;
  std::string description;
};

// Everything that an error says.
struct Failure {
  // Of a call.
  static Failure From(const grpc::Status& status);
  // Of one element of a batch or a stream.
  static Failure From(const google::rpc::Status& status);

  grpc::StatusCode code = grpc::StatusCode::OK;
  std::string message;
  // What to decide by. Empty where the error is not from the gateway: the connection broke, or the caller's own
  // deadline has passed.
  std::string reason;
  // Has dis_error_code, dis_request_id and http_status where DIS has answered with an error.
  std::map<std::string, std::string> metadata;
  // How long to wait before the same call again, where the gateway said so.
  std::optional<std::chrono::milliseconds> retry_delay;
  // What is wrong with the request.
  std::vector<FieldViolation> field_violations;

  // Whether the very same call may succeed later. Every call of the gateway may be sent twice. Without a reason the
  // error is from gRPC or from something in between, which may make any of several codes of a connection that broke. A
  // caller that cancelled the call itself gets such a CANCELLED as well: it knows better.
  bool Retryable() const;
  // Whether a write may have been carried out all the same: the gateway says so, or the error is not from it.
  bool OutcomeUnknown() const;
  // One line for a log.
  std::string ToString() const;
  // The same, after what it means to a consumer where that is more than a failed call.
  std::string Explain() const;
};

// A call has failed for good, or for longer than anybody waits.
class Error : public std::runtime_error {
 public:
  Error(const std::string& what, Failure failure, bool outcome_unknown)
      : std::runtime_error(what), failure_(std::move(failure)), outcome_unknown_(outcome_unknown) {}

  // How the last attempt has ended.
  const Failure& failure() const { return failure_; }
  // Whether any of the attempts may have been carried out: then a commit may be stored.
  bool outcome_unknown() const { return outcome_unknown_; }

 private:
  Failure failure_;
  bool outcome_unknown_;
};

}  // namespace disgateway
