#pragma once

#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
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
}  // namespace reason

// Everything that an error says.
struct Failure {
  // Of a call.
  static Failure Of(const grpc::Status& status);
  // Of one element of a batch or a stream.
  static Failure Of(const google::rpc::Status& status);

  grpc::StatusCode code = grpc::StatusCode::OK;
  std::string message;
  // What to decide by. Empty where the error is not from the gateway: the connection broke, or the caller's own
  // deadline has passed.
  std::string reason;
  // Has dis_error_code, dis_request_id and http_status where DIS has answered with an error.
  std::map<std::string, std::string> metadata;
  // How long to wait before the same call again, where the gateway said so.
  std::optional<std::chrono::milliseconds> retry_after;
  // The fields of the request that are wrong, such as key.partition_id.
  std::vector<std::string> fields;

  // Whether the very same call may succeed later. Every call of the gateway may be sent twice. Without a reason the
  // error is from gRPC or from something in between: of a connection that broke or a gateway that went away it may make
  // CANCELLED, UNKNOWN or INTERNAL too, and the outcome is not known.
  bool Retryable() const;
  // One line for a log.
  std::string ToString() const;
};

}  // namespace disgateway
