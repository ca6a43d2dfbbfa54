// What a program that reads one partition of a DIS stream looks like with the gateway. It resumes after its checkpoint,
// processes, commits now and then, and finishes with a last commit on SIGTERM. The record stream is simulated.

#include <signal.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "disgateway/channel.h"
#include "disgateway/failure.h"
#include "disgateway/patience.h"
#include "disgateway/v1/checkpoint.grpc.pb.h"

namespace v1 = disgateway::v1;
using Clock = std::chrono::steady_clock;

class Consumer {
 public:
  Consumer(std::unique_ptr<v1::CheckpointService::Stub> gateway, v1::CheckpointKey key, std::uint64_t commit_every,
           std::chrono::milliseconds commit_after, std::chrono::milliseconds interval)
      : gateway_(std::move(gateway)), key_(std::move(key)), commit_every_(commit_every), commit_after_(commit_after),
        interval_(interval) {}

  // Goes on until one of `stop` comes, which every thread must have blocked.
  void Run(const sigset_t& stop) {
    // An error never means that there is no checkpoint: starting over here would repeat the whole stream.
    std::int64_t last = Resume();
    std::uint64_t processed = 0, uncommitted = 0;
    auto next = Clock::now(), due = next;
    // Stands for the DIS stream: a cursor of type AFTER_SEQUENCE_NUMBER at the checkpoint, TRIM_HORIZON without one.
    while (!ComesUntil(uncommitted > 0 ? std::min(next, due) : next, stop)) {
      const auto now = Clock::now();
      if (now >= next) {
        // Here a real consumer works on the record, and goes on when it has finished.
        ++last;
        ++processed;
        next = now + interval_;
        if (uncommitted++ == 0) {
          due = now + commit_after_;
        }
      }
      if (uncommitted >= commit_every_ || (uncommitted > 0 && now >= due)) {
        Commit(last);
        uncommitted = 0;
      }
    }
    if (uncommitted > 0) {
      Commit(last);
    }
    std::cout << "processed " << processed << " records" << std::endl;
  }

 private:
  static bool ComesUntil(Clock::time_point when, const sigset_t& stop) {
    const auto left = std::max(when - Clock::now(), Clock::duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    timespec timeout{};
    timeout.tv_sec = seconds.count();
    timeout.tv_nsec = std::chrono::nanoseconds(left - seconds).count();
    return sigtimedwait(&stop, nullptr, &timeout) > 0;
  }

  // Gives the number of the last record that an earlier run has finished, or -1.
  std::int64_t Resume() {
    v1::GetCheckpointRequest request;
    *request.mutable_key() = key_;
    // Fresh, as whoever had the partition before may have committed through another gateway.
    request.set_read_mode(v1::READ_MODE_FRESH);
    v1::GetCheckpointResponse answer;
    Must(disgateway::Patiently([&](auto* context) { return gateway_->GetCheckpoint(context, request, &answer); }));
    if (!answer.found()) {
      std::cout << "no checkpoint: starting at the oldest record" << std::endl;
      return -1;
    }
    std::cout << "resuming after " << answer.checkpoint().sequence_number() << std::endl;
    return std::stoll(answer.checkpoint().sequence_number());
  }

  // Stores the number of the LAST record that is finished.
  void Commit(std::int64_t number) {
    v1::CommitCheckpointRequest request;
    *request.mutable_key() = key_;
    request.set_sequence_number(std::to_string(number));
    v1::CommitCheckpointResponse answer;
    Must(disgateway::Patiently([&](auto* context) { return gateway_->CommitCheckpoint(context, request, &answer); }));
    std::cout << "committed " << number << std::endl;
  }

  // In every case of failure the consumer stops: the next start reads what stands.
  static void Must(const grpc::Status& status) {
    if (status.ok()) {
      return;
    }
    const auto failure = disgateway::Failure::Of(status);
    const bool other_consumer = failure.reason == disgateway::reason::kCheckpointRegression ||
                                failure.reason == disgateway::reason::kConsumerFenced;
    throw std::runtime_error((other_consumer ? "stopped, as another one reads this partition: " : "stopped: ") +
                             failure.ToString());
  }

  const std::unique_ptr<v1::CheckpointService::Stub> gateway_;
  const v1::CheckpointKey key_;
  const std::uint64_t commit_every_;
  const std::chrono::milliseconds commit_after_, interval_;
};

int main(int argc, char** argv) try {
  // Before gRPC starts its threads, which inherit it: the signals wait until the consumer looks for them.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  std::map<std::string, std::string> flags{
      {"--target", "127.0.0.1:50551"}, {"--partition", "0"}, {"--commit-every", "10"}, {"--commit-seconds", "1"},
      {"--interval-ms", "100"}};
  for (int i = 1; i + 1 < argc; i += 2) {
    flags[argv[i]] = argv[i + 1];
  }
  if (flags.count("--stream") == 0 || flags.count("--app") == 0) {
    std::cerr << "consumer: --stream and --app are mandatory" << std::endl;
    return 2;
  }
  v1::CheckpointKey key;
  key.set_stream_name(flags["--stream"]);
  key.set_app_name(flags["--app"]);
  key.set_partition_id(flags["--partition"]);
  const std::chrono::duration<double> commit_after(std::stod(flags["--commit-seconds"]));
  Consumer(v1::CheckpointService::NewStub(disgateway::Connect(flags["--target"])), key,
           std::stoull(flags["--commit-every"]), std::chrono::duration_cast<std::chrono::milliseconds>(commit_after),
           std::chrono::milliseconds(std::stoll(flags["--interval-ms"])))
      .Run(stop);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "consumer: " << error.what() << std::endl;
  return 1;
}
