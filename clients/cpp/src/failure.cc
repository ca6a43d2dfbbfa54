#include "disgateway/failure.h"

#include <google/protobuf/util/time_util.h>
#include <google/rpc/error_details.pb.h>

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

}  // namespace

Failure Failure::Of(const grpc::Status& status) {
  google::rpc::Status rich;
  // What is not from the gateway has no details; what cannot be read is worth no more.
  if (status.error_details().empty() || !rich.ParseFromString(status.error_details())) {
    rich.Clear();
  }
  Failure failure = Of(rich);
  failure.code = status.error_code();
  failure.message = status.error_message();
  return failure;
}

Failure Failure::Of(const google::rpc::Status& status) {
  Failure failure;
  failure.code = static_cast<grpc::StatusCode>(status.code());
  failure.message = status.message();
  for (const google::protobuf::Any& detail : status.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    google::rpc::BadRequest bad_request;
    if (detail.UnpackTo(&info)) {
      if (info.domain() == kDomain) {  // something in between may answer with reasons of its own
        failure.reason = info.reason();
        failure.metadata.insert(info.metadata().begin(), info.metadata().end());
      }
    } else if (detail.UnpackTo(&retry)) {
      using google::protobuf::util::TimeUtil;
      failure.retry_after = std::chrono::milliseconds(TimeUtil::DurationToMilliseconds(retry.retry_delay()));
    } else if (detail.UnpackTo(&bad_request)) {
      for (const auto& violation : bad_request.field_violations()) {
        failure.fields.push_back(violation.field());
      }
    }
  }
  return failure;
}

bool Failure::Retryable() const {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return true;
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::INTERNAL:
      return reason.empty() || retry_after;
    default:
      return retry_after.has_value();
  }
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
  return line;
}

}  // namespace disgateway
