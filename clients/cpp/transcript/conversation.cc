#include "conversation.h"

#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "disgateway/channel.h"

namespace v1 = disgateway::v1;
using disgateway::Failure;
using Gateway = v1::CheckpointService::Stub;
using grpc::StatusCode;

namespace {

constexpr char kSnake[] = "\xF0\x9F\x90\x8D";  // U+1F40D in UTF-8

std::string Repeat(const std::string& text, int times) {
  std::string repeated;
  for (int i = 0; i < times; ++i) {
    repeated += text;
  }
  return repeated;
}

std::chrono::system_clock::time_point In(std::chrono::milliseconds time) {
  return std::chrono::system_clock::now() + time;
}

void ExpectOk(const grpc::Status& status) {
  Require("the call failed: " + Failure::From(status).ToString(), status.ok());
}

void ExpectFromUpstream(const v1::GetCheckpointResponse& response) {
  ExpectEqual("source", v1::CheckpointSource_Name(response.source()), "CHECKPOINT_SOURCE_UPSTREAM");
}

void ExpectChange(grpc::ClientReader<v1::WatchCheckpointsResponse>& changes, const std::string& number,
          const std::string& metadata) {
  v1::WatchCheckpointsResponse message;
  if (!changes.Read(&message)) {
    const grpc::Status status = changes.Finish();
    throw Mismatch("the watch ended: " + Failure::From(status).ToString());
  }
  Require("found is false", message.found());
  ExpectEqual("partition of the message", message.key().partition_id(), Shard(2));
  ExpectCheckpoint(message.checkpoint(), Shard(2), number, metadata);
}

}  // namespace

template <typename Request, typename Response>
Response Conversation::Ask(Method<Request, Response> method, const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(In(kCall));
  Response response;
  ExpectOk((gateway_.get()->*method)(&context, request, &response));
  return response;
}

template <typename Request, typename Response>
Failure Conversation::Refused(Method<Request, Response> method, const Request& request,
                              std::chrono::milliseconds deadline) {
  grpc::ClientContext context;
  context.set_deadline(In(deadline));
  Response response;
  const grpc::Status status = (gateway_.get()->*method)(&context, request, &response);
  Require("the call went well, and should fail", !status.ok());
  return Failure::From(status);
}

Conversation::Conversation(std::string target, Emulator emulator, std::string stream, std::string app)
    : target_(std::move(target)), emulator_(std::move(emulator)), stream_(std::move(stream)), app_(std::move(app)) {
  emulator_.Post("reset", "");
  emulator_.Put("streams/" + stream_, R"({"partitions": 4})");
  emulator_.Put("apps/" + app_, "");
  Connect();
}

void Conversation::GetNothing() {
  const auto got = GetFresh("0");
  ExpectNotFound(got);
  ExpectFromUpstream(got);
}

void Conversation::CommitFirst() {
  const auto response = Commit(CommitOf("0", "41", "first"));
  const v1::Checkpoint& effective = Committed(response);
  ExpectCheckpoint(effective, Shard(0), "41", "first");
  ExpectEqual("stream_name", effective.key().stream_name(), stream_);
  ExpectEqual("app_name", effective.key().app_name(), app_);
  ExpectEqual("checkpoint_type", effective.key().checkpoint_type(), "LAST_READ");
}

void Conversation::ReadBack() {
  v1::GetCheckpointRequest request;
  *request.mutable_key() = Key(Shard(0));
  auto got = Ask(&Gateway::GetCheckpoint, request);
  ExpectCheckpoint(Found(got), Shard(0), "41", "first");
  ExpectEqual("checkpoint_type", got.checkpoint().key().checkpoint_type(), "LAST_READ");

  got = GetFresh("0");
  ExpectFromUpstream(got);
  ExpectCheckpoint(Found(got), Shard(0), "41", "first");
}

void Conversation::Regression() {
  Refusal(StatusCode::FAILED_PRECONDITION, disgateway::reason::kCheckpointRegression)
      .With("effective_sequence_number", "41")
      .Retry(false)
      .Fields({})
      .Matches(Refused(&Gateway::CommitCheckpoint, CommitOf("0", "9")));
}

void Conversation::Rewind() {
  auto request = CommitOf("0", "9");
  request.set_allow_rewind(true);
  ExpectCheckpoint(Committed(Commit(request)), Shard(0), "9", "");
  ExpectCheckpoint(Found(GetFresh("0")), Shard(0), "9", "");
}

void Conversation::AstralMetadata() {
  Committed(Commit(CommitOf("0", "10", Repeat(kSnake, 1000))));
  ExpectCheckpoint(Found(GetFresh("0")), Shard(0), "10", Repeat(kSnake, 1000));
  Refusal::Invalid("metadata").Matches(
      Refused(&Gateway::CommitCheckpoint, CommitOf("0", "11", Repeat(kSnake, 1001))));
}

void Conversation::InvalidField() {
  Refusal::Invalid("sequence_number").Matches(Refused(&Gateway::CommitCheckpoint, CommitOf("0", "1.5")));
  v1::GetCheckpointRequest request;
  *request.mutable_key() = Key("shardId-7");
  Refusal::Invalid("key.partition_id").Matches(Refused(&Gateway::GetCheckpoint, request));
}

void Conversation::Batch() {
  v1::BatchCommitCheckpointsRequest commits;
  *commits.add_commits() = CommitOf("1", "20");
  *commits.add_commits() = CommitOf("0", "5");
  *commits.add_commits() = CommitOf("3", "30");
  const auto committed = Ask(&Gateway::BatchCommitCheckpoints, commits);
  ExpectEqual("number of results", committed.results_size(), 3);
  ExpectCheckpoint(Committed(committed.results(0).response()), Shard(1), "20", "");
  Require("the second result is no status", committed.results(1).has_status());
  Refusal(StatusCode::FAILED_PRECONDITION, disgateway::reason::kCheckpointRegression)
      .With("effective_sequence_number", "10")
      .Retry(false)
      .Fields({})
      .Matches(Failure::From(committed.results(1).status()));
  ExpectCheckpoint(Committed(committed.results(2).response()), Shard(3), "30", "");

  const auto got = BatchGet({"3", "2", "nonsense"});
  ExpectCheckpoint(Found(ResponseOf(got.results(0))), Shard(3), "30", "");
  ExpectNotFound(ResponseOf(got.results(1)));
  Require("the third result is no status", got.results(2).has_status());
  Refusal::Invalid("keys[2].partition_id").Matches(Failure::From(got.results(2).status()));
}

void Conversation::Stream() {
  grpc::ClientContext context;
  context.set_deadline(In(kStream));
  auto stream = gateway_->StreamCommits(&context);
  // Writes wait while the gateway has enough to do, so the answers are read meanwhile.
  std::thread writer([&] {
    for (std::uint64_t id = 1; id <= 1000; ++id) {
      v1::StreamCommitsRequest request;
      request.set_id(id);
      *request.mutable_commit() = CommitOf(std::to_string(id % 4), std::to_string(1000 + id));
      if (!stream->Write(request)) {
        return;  // the stream has ended: its status says why
      }
    }
    stream->WritesDone();
  });
  std::vector<v1::StreamCommitsResponse> answers;
  for (v1::StreamCommitsResponse answer; stream->Read(&answer);) {
    answers.push_back(answer);
  }
  writer.join();
  ExpectOk(stream->Finish());

  std::set<std::uint64_t> answered;
  for (const auto& answer : answers) {
    const std::uint64_t id = answer.id();
    const std::string of_id = " of id " + std::to_string(id);
    Require("there is another answer" + of_id, answered.insert(id).second);
    Require("there is no response" + of_id + " but " + answer.ShortDebugString(), answer.has_response());
    const v1::CommitResult result = answer.response().result();
    Require("the result" + of_id + " is " + v1::CommitResult_Name(result),
          result == v1::COMMIT_RESULT_COMMITTED || result == v1::COMMIT_RESULT_SUPERSEDED);
    const v1::Checkpoint& effective = answer.response().effective();
    ExpectEqual("partition" + of_id, effective.key().partition_id(), Shard(id % 4));
    Require("effective" + of_id + " is " + effective.sequence_number(),
          std::stoull(effective.sequence_number()) >= 1000 + id);
  }
  ExpectEqual("number of answers", answered.size(), 1000u);
  Require("other ids than 1 to 1000 were answered", *answered.begin() == 1 && *answered.rbegin() == 1000);

  const auto got = BatchGet({"0", "1", "2", "3"});
  const char* const numbers[] = {"2000", "1997", "1998", "1999"};
  for (int partition = 0; partition < 4; ++partition) {
    ExpectCheckpoint(Found(ResponseOf(got.results(partition))), Shard(partition), numbers[partition], "");
  }
}

void Conversation::Watch() {
  grpc::ClientContext context;
  context.set_deadline(In(kStream));
  v1::WatchCheckpointsRequest request;
  *request.add_keys() = Key("2");
  const auto changes = gateway_->WatchCheckpoints(&context, request);
  ExpectChange(*changes, "1998", "");
  Committed(Commit(CommitOf("2", "2100", "watched")));
  ExpectChange(*changes, "2100", "watched");
  context.TryCancel();
  ExpectEqual("code of the cancelled watch", changes->Finish().error_code(), StatusCode::CANCELLED);
}

void Conversation::List() {
  emulator_.Put("offsets", R"({"stream": ")" + stream_ + R"(", "partition": "2", "earliest": 1000, "latest": 2150})");
  const auto first = Page("");
  Require("there is no next_page_token", !first.next_page_token().empty());
  ExpectPartitions(first, 0, {"2000", "1997", "2100"});
  const v1::PartitionState& third = first.partitions(2);
  ExpectEqual("earliest", third.earliest_sequence_number(), "1000");
  ExpectEqual("latest", third.latest_sequence_number(), "2150");
  ExpectEqual("lag", third.lag(), 50);
  const auto rest = Page(first.next_page_token());
  ExpectEqual("next_page_token", rest.next_page_token(), "");
  ExpectPartitions(rest, 3, {"1999"});
}

void Conversation::Delete() {
  v1::DeleteCheckpointRequest request;
  *request.mutable_key() = Key("3");
  Ask(&Gateway::DeleteCheckpoint, request);
  ExpectNotFound(GetFresh("3"));
  Ask(&Gateway::DeleteCheckpoint, request);
}

void Conversation::Deadline() {
  emulator_.Post("faults", R"({"kind": "hold", "method": "GET", "times": 0})");
  const auto began = std::chrono::steady_clock::now();
  const Failure failure = Refused(&Gateway::GetCheckpoint, Fresh("0"), std::chrono::milliseconds(500));
  const auto took = std::chrono::steady_clock::now() - began;
  emulator_.Delete("faults");
  emulator_.Post("release", "");
  // The gateway's answer and the library's own race here.
  Refusal(StatusCode::DEADLINE_EXCEEDED, failure.reason.empty() ? "" : "UPSTREAM_TOO_SLOW").Matches(failure);
  Require("it took more than 3 s", took <= std::chrono::seconds(3));
  ExpectCheckpoint(Found(GetFresh("0")), Shard(0), "2000", "");
}

void Conversation::Outage() {
  emulator_.Post("faults", R"({"kind": "error", "code": "DIS.5000", "method": "GET", "times": 0})");
  const Failure failure = Refused(&Gateway::GetCheckpoint, Fresh("0"));
  emulator_.Delete("faults");
  Refusal(StatusCode::UNAVAILABLE, "UPSTREAM_UNAVAILABLE")
      .With("dis_error_code", "DIS.5000")
      .With("http_status", "500")
      .Retry(true)
      .Fields({})
      .Matches(failure);
  ExpectCheckpoint(Found(GetFresh("0")), Shard(0), "2000", "");
}

void Conversation::LostAnswer() {
  emulator_.Post("faults", R"({"kind": "cut_after", "method": "POST", "times": 1})");
  const auto request = CommitOf("0", "2200");
  Refusal(StatusCode::UNAVAILABLE, disgateway::reason::kCommitOutcomeUnknown)
      .Fields({})
      .Matches(Refused(&Gateway::CommitCheckpoint, request));
  ExpectCheckpoint(Committed(Commit(request)), Shard(0), "2200", "");
}

void Conversation::Fenced() {
  emulator_.Post("faults", R"({"kind": "error", "code": "DIS.4702", "method": "POST", "times": 1})");
  auto request = CommitOf("0", "2300");
  request.set_client_id("consumer-1");
  request.set_generation_id("7");
  Refusal(StatusCode::FAILED_PRECONDITION, disgateway::reason::kConsumerFenced)
      .With("dis_error_code", "DIS.4702")
      .With("http_status", "400")
      .Retry(false)
      .Fields({})
      .Matches(Refused(&Gateway::CommitCheckpoint, request));
}

void Conversation::Reconnect() {
  gateway_.reset();  // the old channel closes with its last stub
  Connect();
  const auto got = GetFresh("0");
  ExpectFromUpstream(got);
  ExpectCheckpoint(Found(got), Shard(0), "2200", "");
  ExpectCheckpoint(Committed(Commit(CommitOf("0", "2201"))), Shard(0), "2201", "");
}

void Conversation::Connect() {
  gateway_ = v1::CheckpointService::NewStub(disgateway::Connect(target_, disgateway::ServiceConfig::kNone));
}

v1::CheckpointKey Conversation::Key(const std::string& partition) const {
  v1::CheckpointKey key;
  key.set_stream_name(stream_);
  key.set_app_name(app_);
  key.set_partition_id(partition);
  return key;
}

v1::GetCheckpointRequest Conversation::Fresh(const std::string& partition) const {
  v1::GetCheckpointRequest request;
  *request.mutable_key() = Key(partition);
  request.set_read_mode(v1::READ_MODE_FRESH);
  return request;
}

v1::GetCheckpointResponse Conversation::GetFresh(const std::string& partition) {
  return Ask(&Gateway::GetCheckpoint, Fresh(partition));
}

v1::CommitCheckpointRequest Conversation::CommitOf(const std::string& partition, const std::string& number,
                                                   const std::string& metadata) const {
  v1::CommitCheckpointRequest request;
  *request.mutable_key() = Key(partition);
  request.set_sequence_number(number);
  request.set_metadata(metadata);
  return request;
}

v1::CommitCheckpointResponse Conversation::Commit(const v1::CommitCheckpointRequest& request) {
  return Ask(&Gateway::CommitCheckpoint, request);
}

v1::BatchGetCheckpointsResponse Conversation::BatchGet(std::initializer_list<std::string> partitions) {
  v1::BatchGetCheckpointsRequest request;
  for (const std::string& partition : partitions) {
    *request.add_keys() = Key(partition);
  }
  request.set_read_mode(v1::READ_MODE_FRESH);
  const auto got = Ask(&Gateway::BatchGetCheckpoints, request);
  ExpectEqual("number of results", got.results_size(), static_cast<int>(partitions.size()));
  return got;
}

v1::ListCheckpointsResponse Conversation::Page(const std::string& token) {
  v1::ListCheckpointsRequest request;
  request.set_stream_name(stream_);
  request.set_app_name(app_);
  request.set_page_size(3);
  request.set_page_token(token);
  return Ask(&Gateway::ListCheckpoints, request);
}
