#include "check.h"

#include <algorithm>
#include <iomanip>

namespace v1 = disgateway::v1;

void Holds(const std::string& complaint, bool is_so) {
  if (!is_so) {
    throw Differs(complaint);
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
  Holds("code is not " + std::to_string(code_) + " (" + failure.ToString() + ")", failure.code == code_);
  Same("reason", failure.reason, reason_);
  for (const auto& [key, value] : metadata_) {
    const auto got = failure.metadata.find(key);
    Same("metadata " + key, got == failure.metadata.end() ? "" : got->second, value);
  }
  if (retry_) {
    if (*retry_) {
      Holds("there is no RetryInfo with a delay", failure.retry_after && failure.retry_after->count() > 0);
    } else {
      Holds("there is a RetryInfo", !failure.retry_after);
    }
  }
  if (fields_) {
    std::string got;
    for (const std::string& field : failure.fields) {
      got += field + " ";
    }
    Holds("fields are \"" + got + "\"", failure.fields == *fields_);
  }
}

std::string Shard(std::uint64_t partition) {
  std::ostringstream name;
  name << "shardId-" << std::setw(10) << std::setfill('0') << partition;
  return name.str();
}

const v1::Checkpoint& Committed(const v1::CommitCheckpointResponse& response) {
  Same("result", v1::CommitResult_Name(response.result()), "COMMIT_RESULT_COMMITTED");
  Holds("there is no effective", response.has_effective());
  return response.effective();
}

const v1::Checkpoint& Found(const v1::GetCheckpointResponse& response) {
  Holds("found is false", response.found());
  Holds("there is no checkpoint", response.has_checkpoint());
  return response.checkpoint();
}

void NotFound(const v1::GetCheckpointResponse& response) {
  Holds("found is true", !response.found());
  Holds("there is a checkpoint", !response.has_checkpoint());
}

const v1::GetCheckpointResponse& Read(const v1::BatchGetCheckpointsResult& result) {
  Holds("a result of the batch is " + result.ShortDebugString(), result.has_response());
  return result.response();
}

void At(const v1::Checkpoint& checkpoint, const std::string& partition, const std::string& number,
        const std::string& metadata) {
  Same("partition_id", checkpoint.key().partition_id(), partition);
  Same("sequence_number", checkpoint.sequence_number(), number);
  Same("metadata", checkpoint.metadata(), metadata);
}

void Listed(const v1::ListCheckpointsResponse& page, int first, const std::vector<std::string>& numbers) {
  Same("number of partitions", page.partitions_size(), static_cast<int>(numbers.size()));
  for (int i = 0; i < page.partitions_size(); ++i) {
    const v1::PartitionState& state = page.partitions(i);
    const std::string partition = Shard(first + i);
    Holds("found of " + partition + " is false", state.found());
    Same("status of " + partition, state.status(), "ACTIVE");
    At(state.checkpoint(), partition, numbers[i], "");
  }
}
