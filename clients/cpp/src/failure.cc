#include "disgateway/failure.h"

#include <google/protobuf/util/time_util.h>
#include <google/rpc/error_details.pb.h>

#include <algorithm>
#include <cstdlib>

namespace disgateway {
namespace {

// By code.
constexpr const char* kNames[] = {
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
};

std::string Name(grpc::StatusCode code) {
  return code >= 0 && code <= grpc::StatusCode::UNAUTHENTICATED ? kNames[code] : "code " + std::to_string(code);
}

Failure WithoutDetails(grpc::StatusCode code, const std::string& message) {
  Failure failure;
  failure.code = code;
  failure.message = message;
  return failure;
}

}  // namespace

Failure Failure::From(const grpc::Status& status) {
  google::rpc::Status rich;
  // What is not from the gateway has no details; what cannot be read, or is of another status, is worth no more.
  if (!rich.ParseFromString(status.error_details()) || rich.code() != status.error_code()) {
    return WithoutDetails(status.error_code(), status.error_message());
  }
  return From(rich);
}

Failure Failure::From(const google::rpc::Status& status) {
  const bool known = status.code() >= 0 && status.code() <= grpc::StatusCode::UNAUTHENTICATED;
  const auto code = known ? static_cast<grpc::StatusCode>(status.code()) : grpc::StatusCode::UNKNOWN;
  Failure failure = WithoutDetails(code, status.message());
  for (const google::protobuf::Any& detail : status.details()) {
    bool readable = true;
    if (detail.Is<google::rpc::ErrorInfo>()) {
      google::rpc::ErrorInfo info;
      readable = detail.UnpackTo(&info);
      if (info.domain() == kDomain) {  // something in between may answer with reasons of its own
        failure.reason = info.reason();
        failure.metadata.insert(info.metadata().begin(), info.metadata().end());
      }
    } else if (detail.Is<google::rpc::RetryInfo>()) {
      using google::protobuf::util::TimeUtil;
      google::rpc::RetryInfo retry;
      readable = detail.UnpackTo(&retry) && std::abs(retry.retry_delay().seconds()) <= TimeUtil::kDurationMaxSeconds;
      if (readable) {
        failure.retry_delay = std::chrono::milliseconds(TimeUtil::DurationToMilliseconds(retry.retry_delay()));
      }
    } else if (detail.Is<google::rpc::BadRequest>()) {
      google::rpc::BadRequest bad_request;
      readable = detail.UnpackTo(&bad_request);
      for (const auto& violation : bad_request.field_violations()) {
        failure.field_violations.push_back({violation.field(), violation.description()});
      }
    }
    if (!readable) {
      return WithoutDetails(code, status.message());
    }
  }
  return failure;
}

bool Failure::Retryable() const {
  if (retry_delay || reason == reason::kCommitOutcomeUnknown || reason == reason::kDeleteOutcomeUnknown ||
      reason == reason::kDeadlineTooShort) {
    return true;
  }
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::INTERNAL:
      return reason.empty();
    default:
      return false;
  }
}

bool Failure::OutcomeUnknown() const {
  return code != grpc::StatusCode::OK && (reason.empty() || reason == reason::kCommitOutcomeUnknown ||
                                          reason == reason::kDeleteOutcomeUnknown);
}

std::string Failure::ToString() const {
  std::string line = Name(code);
  if (!reason.empty()) {
    line += " " + reason;
  }
  line += ": " + message;
  for (const char* key : {"dis_error_code", "dis_request_id"}) {
    if (const auto entry = metadata.find(key); entry != metadata.end()) {
      line += std::string(" (") + key + " " + entry->second + ")";
    }
  }
  std::replace_if(line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return line;
}

std::string Failure::Explain() const {
  if (reason == reason::kCheckpointRegression) {
    return "another consumer has committed a higher number: " + ToString();
  }
  if (reason == reason::kConsumerFenced) {
    return "another consumer has taken over this partition: " + ToString();
  }
  if (reason == reason::kConsumerGroupRebalancing) {
    return "the consumer group is rebalancing: " + ToString();
  }
  return ToString();
}

}  // namespace disgateway
