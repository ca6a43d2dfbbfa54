#include "check.h"

#include <algorithm>
#include <iomanip>

namespace v1 = disgateway::v1;

void Require(const std::string& complaint, bool is_so) {
  if (!is_so) {
    throw Mismatch(complaint);
  }
}

Refusal Refusal::Invalid(const std::string& field) {
  return Refusal(grpc::StatusCode::INVALID_ARGUMENT, "FIELD_INVALID").Retry(false).Fields({field});
}

Refusal& Refusal::With(const std::string& key, const std::string& value) {
  metadata_[key] = value;
  return *this;
}

Refusal& Refusal::Retry(bool retry) {
  retry_ = retry;
  return *this;
}

Refusal& Refusal::Fields(std::initializer_list<std::string> fields) {
  fields_ = fields;
  return *this;
}

void Refusal::Matches(const disgateway::Failure& failure) const {
  Require("code is not " + std::to_string(code_) + " (" + failure.ToString() + ")", failure.code == code_);
  ExpectEqual("reason", failure.reason, reason_);
  for (const auto& [key, value] : metadata_) {
    const auto got = failure.metadata.find(key);
    ExpectEqual("metadata " + key, got == failure.metadata.end() ? "" : got->second, value);
  }
  if (retry_) {
    if (*retry_) {
      Require("there is no RetryInfo with a delay", failure.retry_delay && failure.retry_delay->count() > 0);
    } else {
      Require("there is a RetryInfo", !failure.retry_delay);
    }
  }
  if (fields_) {
    std::string got;
    for (const disgateway::FieldViolation& violation : failure.field_violations) {
      got += violation.field + " ";
    }
    std::string want;
    for (const std::string& field : *fields_) {
      want += field + " ";
    }
    ExpectEqual("fields", got, want);
  }
}

std::string Shard(std::uint64_t partition) {
  std::ostringstream name;
  name << "shardId-" << std::setw(10) << std::setfill('0') << partition;
  return name.str();
}

const v1::Checkpoint& Committed(const v1::CommitCheckpointResponse& response) {
  ExpectEqual("result", v1::CommitResult_Name(response.result()), "COMMIT_RESULT_COMMITTED");
  Require("there is no effective", response.has_effective());
  return response.effective();
}

const v1::Checkpoint& Found(const v1::GetCheckpointResponse& response) {
  Require("found is false", response.found());
  Require("there is no checkpoint", response.has_checkpoint());
  return response.checkpoint();
}

void ExpectNotFound(const v1::GetCheckpointResponse& response) {
  Require("found is true", !response.found());
  Require("there is a checkpoint", !response.has_checkpoint());
}

const v1::GetCheckpointResponse& ResponseOf(const v1::BatchGetCheckpointsResult& result) {
  Require("a result of the batch is " + result.ShortDebugString(), result.has_response());
  return result.response();
}

void ExpectCheckpoint(const v1::Checkpoint& checkpoint, const std::string& partition, const std::string& number,
                      const std::string& metadata) {
  ExpectEqual("partition_id", checkpoint.key().partition_id(), partition);
  ExpectEqual("sequence_number", checkpoint.sequence_number(), number);
  ExpectEqual("metadata", checkpoint.metadata(), metadata);
}

void ExpectPartitions(const v1::ListCheckpointsResponse& page, int first, const std::vector<std::string>& numbers) {
  ExpectEqual("number of partitions", page.partitions_size(), static_cast<int>(numbers.size()));
  for (int i = 0; i < page.partitions_size(); ++i) {
    const v1::PartitionState& state = page.partitions(i);
    const std::string partition = Shard(first + i);
    Require("found of " + partition + " is false", state.found());
    ExpectEqual("status of " + partition, state.status(), "ACTIVE");
    ExpectCheckpoint(state.checkpoint(), partition, numbers[i], "");
  }
}
