#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>

#include "disgateway/failure.h"
#include "disgateway/stop.h"

namespace disgateway {

// Makes one attempt. It gets a new context, which has its deadline.
using Call = std::function<grpc::Status(grpc::ClientContext*)>;

// Tests have shorter ones.
struct RetryTimes {
  // Of an operation, all attempts included: a gateway that restarts is back within seconds.
  std::chrono::nanoseconds total = std::chrono::seconds(20);
  std::chrono::nanoseconds attempt = std::chrono::seconds(5);
  std::chrono::nanoseconds after_stop = std::chrono::seconds(10);
  std::chrono::nanoseconds shortest_wait = std::chrono::milliseconds(250);
  std::chrono::nanoseconds longest_backoff = std::chrono::seconds(2);
};

// Makes a call until it succeeds. It is not worth waiting for when the program shall end: it is cancelled then, and
// this gives false. Throws Error if the call fails for good, or for too long.
bool RetryRead(Stop& stop, const Call& call, const RetryTimes& times = {});

// Makes a commit until it succeeds. When the program shall end it goes on, for ten seconds. If the outcome is unknown
// it is sent again with the same number: that is safe, whether the first one was stored or not. Throws Error, which
// says whether it may be stored.
void RetryCommit(Stop& stop, const Call& call, const RetryTimes& times = {});

}  // namespace disgateway
