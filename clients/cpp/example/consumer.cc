// What a program that reads one partition of a DIS stream looks like with the gateway. It resumes after its checkpoint,
// processes, commits now and then, and finishes with a last commit on SIGTERM. The record stream is simulated.

#include <algorithm>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "disgateway/channel.h"
#include "disgateway/retry.h"
#include "disgateway/sequence_number.h"
#include "disgateway/stop.h"
#include "disgateway/v1/checkpoint.grpc.pb.h"
#include "flags.h"

namespace v1 = disgateway::v1;
using disgateway::Stop;
using Gateway = v1::CheckpointService::Stub;

namespace {

// Gives the number of the last record that an earlier run has finished, or -1; nothing if asked to stop.
std::optional<std::int64_t> Resume(Gateway& gateway, const Flags& flags, Stop& stop) {
  v1::GetCheckpointRequest request;
  *request.mutable_key() = flags.key;
  // Fresh, as whoever had the partition before may have committed through another gateway.
  request.set_read_mode(v1::READ_MODE_FRESH);
  v1::GetCheckpointResponse answer;
  // An error never means that there is no checkpoint: starting over here would repeat the whole stream.
  if (!disgateway::RetryRead(stop, [&](auto* context) { return gateway.GetCheckpoint(context, request, &answer); })) {
    return std::nullopt;
  }
  if (!answer.found()) {
    std::cout << "no checkpoint: starting at the oldest record" << std::endl;
    return -1;
  }
  const std::int64_t last = disgateway::ParseSequenceNumber(answer.checkpoint().sequence_number());
  std::cout << "resuming after " << last << std::endl;
  return last;
}

// Stores the number of the LAST record that is finished. If it fails, the next start reads what stands.
void Commit(Gateway& gateway, const Flags& flags, std::int64_t number, Stop& stop) {
  v1::CommitCheckpointRequest request;
  *request.mutable_key() = flags.key;
  request.set_sequence_number(std::to_string(number));
  request.set_client_id(flags.client_id);
  request.set_generation_id(flags.generation_id);
  v1::CommitCheckpointResponse answer;
  disgateway::RetryCommit(stop, [&](auto* context) { return gateway.CommitCheckpoint(context, request, &answer); });
  const std::int64_t effective = disgateway::ParseSequenceNumber(answer.effective().sequence_number());
  if (effective != number) {
    throw std::runtime_error(std::to_string(number) + " is not what stands: another consumer has committed " +
                             std::to_string(effective));
  }
  std::cout << "committed " << number << std::endl;
}

void Consume(Gateway& gateway, const Flags& flags, Stop& stop) {
  std::uint64_t processed = 0, uncommitted = 0;
  if (const auto resumed = Resume(gateway, flags, stop)) {
    std::int64_t last = *resumed;
    auto next = Stop::Clock::now(), due = next;
    // Stands for the DIS stream: a cursor of type AFTER_SEQUENCE_NUMBER at the checkpoint, TRIM_HORIZON without one.
    while (!stop.WaitUntil(uncommitted > 0 ? std::min(next, due) : next)) {
      const auto now = Stop::Clock::now();
      if (now >= next) {
        // Here a real consumer works on record last + 1, and goes on when it has finished.
        ++last;
        ++processed;
        next = now + flags.interval;
        if (uncommitted++ == 0) {
          due = now + flags.commit_after;
        }
      }
      if (uncommitted >= flags.commit_every || (uncommitted > 0 && now >= due)) {
        Commit(gateway, flags, last, stop);
        uncommitted = 0;
      }
    }
    if (uncommitted > 0) {
      Commit(gateway, flags, last, stop);
    }
  }
  std::cout << "processed " << processed << " records" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  const auto stop = disgateway::StopOnSignals();
  Flags flags;
  try {
    flags = Flags::Parse(argc, argv);
  } catch (const std::invalid_argument& error) {
    std::cerr << "consumer: " << error.what() << std::endl;
    return 2;
  }
  try {
    const auto gateway = v1::CheckpointService::NewStub(disgateway::Connect(flags.target));
    Consume(*gateway, flags, *stop);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "stopped: " << error.what() << std::endl;
    return 1;
  }
}
