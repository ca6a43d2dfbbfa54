#include "disgateway/retry.h"

#include <google/rpc/error_details.pb.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "disgateway/channel.h"
#include "disgateway/v1/checkpoint.grpc.pb.h"

using disgateway::RetryCommit;
using disgateway::RetryRead;
using disgateway::RetryTimes;
using disgateway::Stop;
using std::chrono::milliseconds;

namespace {

// The proportions of the true ones, twenty times as fast.
constexpr RetryTimes kTimes{milliseconds(1000), milliseconds(250), milliseconds(500), milliseconds(12),
                            milliseconds(100)};
constexpr milliseconds kSlack{400};  // a busy machine is late

const grpc::Status kBroken(grpc::StatusCode::UNAVAILABLE, "no connection");

grpc::Status Refused(const std::string& reason, milliseconds delay = milliseconds(-1)) {
  google::rpc::Status rich;
  rich.set_code(grpc::StatusCode::RESOURCE_EXHAUSTED);
  google::rpc::ErrorInfo info;
  info.set_domain(disgateway::kDomain);
  info.set_reason(reason);
  rich.add_details()->PackFrom(info);
  if (delay.count() >= 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(delay.count() / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int>(delay.count() % 1000 * 1'000'000));
    rich.add_details()->PackFrom(retry);
  }
  return {grpc::StatusCode::RESOURCE_EXHAUSTED, "", rich.SerializeAsString()};
}

// Answers one after the other, and the last one again and again.
struct Answers {
  std::vector<grpc::Status> left;
  int calls = 0;

  grpc::Status operator()(grpc::ClientContext* context) {
    ++calls;
    CHECK(context->deadline() <= std::chrono::system_clock::now() + kTimes.attempt);
    const grpc::Status status = left.front();
    if (left.size() > 1) {
      left.erase(left.begin());
    }
    return status;
  }
};

class StopAfter {
 public:
  explicit StopAfter(milliseconds time)
      : thread_([this, time] {
          std::this_thread::sleep_for(time);
          stop.Request();
        }) {}
  ~StopAfter() { thread_.join(); }

  Stop stop;

 private:
  std::thread thread_;
};

class Stopwatch {
 public:
  void CheckBetween(milliseconds least, milliseconds most) const {
    const auto took = Stop::Clock::now() - began_;
    CHECK(took >= least - milliseconds(20));  // a stop may begin to count a little before
    CHECK(took <= most + kSlack);
  }

 private:
  const Stop::Clock::time_point began_ = Stop::Clock::now();
};

// How a commit fails that must fail.
disgateway::Error CommitError(Stop& stop, const disgateway::Call& call) {
  try {
    RetryCommit(stop, call, kTimes);
  } catch (const disgateway::Error& error) {
    return error;
  }
  throw std::logic_error("the commit went well");
}

bool StartsWith(const std::string& text, const std::string& start) { return text.rfind(start, 0) == 0; }

void SucceedsAfterFailures() {
  Stop stop;
  Answers answers{{kBroken, kBroken, kBroken, grpc::Status::OK}};
  const Stopwatch watch;
  CHECK(RetryRead(stop, std::ref(answers), kTimes));
  CHECK(answers.calls == 4);
  watch.CheckBetween(milliseconds(65), milliseconds(105));  // about 12 + 24 + 48
  RetryCommit(stop, Answers{{kBroken, grpc::Status::OK}}, kTimes);
}

void GivesUp() {
  Stop stop;
  {
    const Stopwatch watch;
    const auto error = CommitError(stop, Answers{{kBroken}});
    watch.CheckBetween(milliseconds(870), milliseconds(1000));
    CHECK(error.outcome_unknown());
    CHECK(StartsWith(error.what(), "it may be committed: UNAVAILABLE"));
  }
  {  // at once, as there is no time for so long a wait
    const Stopwatch watch;
    const auto error = CommitError(stop, Answers{{Refused("UPSTREAM_THROTTLED", milliseconds(1100))}});
    watch.CheckBetween(milliseconds(0), milliseconds(0));
    CHECK(!error.outcome_unknown());
    CHECK(StartsWith(error.what(), "it is not committed: RESOURCE_EXHAUSTED"));
  }
  Answers answers{{kBroken, Refused(disgateway::reason::kCheckpointRegression)}};
  const auto error = CommitError(stop, std::ref(answers));
  CHECK(answers.calls == 2);
  CHECK(error.outcome_unknown());
  CHECK(error.failure().reason == disgateway::reason::kCheckpointRegression);
}

void WaitsAsTheGatewaySays() {
  Stop stop;
  for (const milliseconds delay : {milliseconds(300), milliseconds(0)}) {
    const Stopwatch watch;
    RetryCommit(stop, Answers{{Refused("UPSTREAM_THROTTLED", delay), grpc::Status::OK}}, kTimes);
    watch.CheckBetween(std::max(delay, milliseconds(12)), delay);
  }
}

void AStopEndsARead() {
  {
    StopAfter after(milliseconds(100));
    const Stopwatch watch;
    CHECK(!RetryRead(after.stop, Answers{{kBroken}}, kTimes));
    watch.CheckBetween(milliseconds(100), milliseconds(100));
    CHECK(!RetryRead(after.stop, Answers{{grpc::Status::OK}}, kTimes));
  }
  // A call under way: it waits for a gateway that is not there.
  StopAfter after(milliseconds(100));
  const auto gateway =
      disgateway::v1::CheckpointService::NewStub(disgateway::Connect("unix:///nonexistent/gateway.sock"));
  disgateway::v1::GetCheckpointResponse answer;
  const Stopwatch watch;
  CHECK(!RetryRead(after.stop, [&](auto* context) { return gateway->GetCheckpoint(context, {}, &answer); }));
  watch.CheckBetween(milliseconds(100), milliseconds(100));
}

void AStopBoundsACommit() {
  StopAfter after(milliseconds(200));
  {
    const Stopwatch watch;
    CommitError(after.stop, Answers{{kBroken}});
    watch.CheckBetween(milliseconds(560), milliseconds(700));
  }
  {  // the last commit, which begins after that
    const Stopwatch watch;
    CommitError(after.stop, Answers{{kBroken}});
    watch.CheckBetween(milliseconds(360), milliseconds(500));
  }
  StopAfter later(milliseconds(50));
  const Stopwatch watch;
  CommitError(later.stop, Answers{{Refused("UPSTREAM_THROTTLED", milliseconds(900))}});
  watch.CheckBetween(milliseconds(50), milliseconds(50));
}

}  // namespace

void TestRetry() {
  SucceedsAfterFailures();
  GivesUp();
  WaitsAsTheGatewaySays();
  AStopEndsARead();
  AStopBoundsACommit();
}
