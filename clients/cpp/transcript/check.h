#pragma once

#include <grpcpp/grpcpp.h>

#include <initializer_list>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "disgateway/failure.h"
#include "disgateway/v1/checkpoint.pb.h"

// Compares what came back with what the transcript says.

// What came back is not what the transcript says.
class Mismatch : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

void Require(const std::string& complaint, bool is_so);

template <typename Got, typename Want>
void ExpectEqual(const std::string& what, const Got& got, const Want& want) {
  if (!(got == want)) {
    std::ostringstream complaint;
    complaint << what << " is \"" << got << "\", not \"" << want << "\"";
    throw Mismatch(complaint.str());
  }
}

// The failure that must come back; what it says nothing of is not looked at.
class Refusal {
 public:
  Refusal(grpc::StatusCode code, std::string reason) : code_(code), reason_(std::move(reason)) {}
  static Refusal Invalid(const std::string& field);

  Refusal& With(const std::string& key, const std::string& value);
  Refusal& Retry(bool retry);
  Refusal& Fields(std::initializer_list<std::string> fields);

  void Matches(const disgateway::Failure& failure) const;

 private:
  grpc::StatusCode code_;
  std::string reason_;
  std::map<std::string, std::string> metadata_;
  std::optional<bool> retry_;
  std::optional<std::vector<std::string>> fields_;
};

// "shardId-0000000000" and so on.
std::string Shard(std::uint64_t partition);

const disgateway::v1::Checkpoint& Committed(const disgateway::v1::CommitCheckpointResponse& response);
const disgateway::v1::Checkpoint& Found(const disgateway::v1::GetCheckpointResponse& response);
void ExpectNotFound(const disgateway::v1::GetCheckpointResponse& response);
// The element of a batch must be an answer.
const disgateway::v1::GetCheckpointResponse& ResponseOf(const disgateway::v1::BatchGetCheckpointsResult& result);
void ExpectCheckpoint(const disgateway::v1::Checkpoint& checkpoint, const std::string& partition,
                      const std::string& number, const std::string& metadata);
void ExpectPartitions(const disgateway::v1::ListCheckpointsResponse& page, int first,
                      const std::vector<std::string>& numbers);
