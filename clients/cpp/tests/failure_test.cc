#include "disgateway/failure.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <google/rpc/error_details.pb.h>

#include <fstream>
#include <iostream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>

#include "check.h"
#include "disgateway/sequence_number.h"

using disgateway::Failure;
using disgateway::ParseSequenceNumber;

namespace {

grpc::StatusCode Code(const std::string& name) {
  for (int code = 0; code <= grpc::StatusCode::UNAUTHENTICATED; ++code) {
    google::rpc::Status status;
    status.set_code(code);
    if (Failure::From(status).ToString() == name + ": ") {
      return static_cast<grpc::StatusCode>(code);
    }
  }
  throw std::invalid_argument("there is no code " + name);
}

google::rpc::Status WithInfo(grpc::StatusCode code, const std::string& domain, const std::string& reason) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message("why");
  google::rpc::ErrorInfo info;
  info.set_domain(domain);
  info.set_reason(reason);
  status.add_details()->PackFrom(info);
  return status;
}

google::protobuf::Value Table() {
  std::ifstream file(FAILURES);
  std::stringstream text;
  text << file.rdbuf();
  google::protobuf::Value table;
  CHECK(google::protobuf::util::JsonStringToMessage(text.str(), &table).ok());
  return table;
}

void CheckCase(const google::protobuf::Map<std::string, google::protobuf::Value>& wanted) {
  const auto text = [&](const char* key) { return wanted.count(key) ? wanted.at(key).string_value() : ""; };
  const auto code = Code(text("code"));
  google::rpc::Status rich;
  if (wanted.count("reason")) {
    rich = WithInfo(code, disgateway::kDomain, text("reason"));
  }
  rich.set_code(code);
  rich.set_message("why");
  if (wanted.count("retry_delay_seconds")) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(static_cast<int>(wanted.at("retry_delay_seconds").number_value()));
    rich.add_details()->PackFrom(retry);
  }
  if (wanted.count("field")) {
    google::rpc::BadRequest bad_request;
    auto* const violation = bad_request.add_field_violations();
    violation->set_field(text("field"));
    violation->set_description("wrong");
    rich.add_details()->PackFrom(bad_request);
  }
  const grpc::Status of_call(code, "why", rich.details().empty() ? "" : rich.SerializeAsString());
  for (const Failure& failure : {Failure::From(of_call), Failure::From(rich)}) {
    CHECK(failure.code == code);
    CHECK(failure.message == "why");
    CHECK(failure.reason == text("reason"));
    CHECK(failure.retry_delay.has_value() == wanted.count("retry_delay_seconds"));
    if (failure.retry_delay) {
      CHECK(failure.retry_delay->count() == 1000 * wanted.at("retry_delay_seconds").number_value());
    }
    CHECK(failure.field_violations.size() == wanted.count("field"));
    for (const auto& violation : failure.field_violations) {
      CHECK(violation.field == text("field") && violation.description == "wrong");
    }
    CHECK(failure.Retryable() == wanted.at("retryable").bool_value());
    CHECK(failure.OutcomeUnknown() == wanted.at("outcome_unknown").bool_value());
  }
}

void CheckWithoutDetails(const std::string& details) {
  const auto failure = Failure::From(grpc::Status(grpc::StatusCode::UNAVAILABLE, "why", details));
  CHECK(failure.ToString() == "UNAVAILABLE: why");
  CHECK(!failure.retry_delay);
  CHECK(failure.OutcomeUnknown());
}

void DetailsThatCannotBeRead() {
  CheckWithoutDetails("no protobuf");
  auto status = WithInfo(grpc::StatusCode::ABORTED, disgateway::kDomain, "CONSUMER_GROUP_REBALANCING");
  CheckWithoutDetails(status.SerializeAsString());
  for (const char* type : {"ErrorInfo", "RetryInfo", "BadRequest"}) {
    status = WithInfo(grpc::StatusCode::UNAVAILABLE, disgateway::kDomain, "CONSUMER_FENCED");
    auto* const broken = status.add_details();
    broken->set_type_url(std::string("type.googleapis.com/google.rpc.") + type);
    broken->set_value("no protobuf");
    CheckWithoutDetails(status.SerializeAsString());
  }
  status = WithInfo(grpc::StatusCode::UNAVAILABLE, disgateway::kDomain, "UPSTREAM_THROTTLED");
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(std::numeric_limits<std::int64_t>::max());
  status.add_details()->PackFrom(retry);
  CheckWithoutDetails(status.SerializeAsString());
}

void OneLine() {
  auto status = WithInfo(grpc::StatusCode::FAILED_PRECONDITION, "proxy.example", disgateway::reason::kConsumerFenced);
  CHECK(Failure::From(status).reason.empty());
  google::rpc::ErrorInfo info;
  info.set_domain(disgateway::kDomain);
  info.set_reason(disgateway::reason::kConsumerFenced);
  (*info.mutable_metadata())["dis_request_id"] = "r1";
  (*info.mutable_metadata())["dis_error_code"] = "DIS.4702";
  status.mutable_details(0)->PackFrom(info);
  status.set_message("two\nlines");
  const std::string line =
      "FAILED_PRECONDITION CONSUMER_FENCED: two lines (dis_error_code DIS.4702) (dis_request_id r1)";
  CHECK(Failure::From(status).ToString() == line);
  CHECK(Failure::From(status).Explain() == "another consumer has taken over this partition: " + line);
}

void SequenceNumbers() {
  CHECK(ParseSequenceNumber("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
  for (const char* text : {"", "-1", "+1", "41x", " 4", "9223372036854775808"}) {
    bool refused = false;
    try {
      ParseSequenceNumber(text);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CHECK(refused);
  }
}

}  // namespace

void TestFailure() {
  const auto table = Table();
  for (const auto& wanted : table.struct_value().fields().at("cases").list_value().values()) {
    try {
      CheckCase(wanted.struct_value().fields());
    } catch (const std::exception&) {
      std::cerr << wanted.struct_value().fields().at("name").string_value() << std::endl;
      throw;
    }
  }
  DetailsThatCannotBeRead();
  OneLine();
  SequenceNumbers();
}
