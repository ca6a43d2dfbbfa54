#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "disgateway/failure.h"

namespace disgateway {

// How long Patiently tries: less than the 30 s that Kubernetes leaves after SIGTERM.
inline constexpr std::chrono::seconds kPatience{22};

// Calls until there is an answer that stands, or for kPatience: a gateway that restarts is back within seconds. `call`
// gets a new context for each attempt, and gives its status. A commit whose outcome is unknown is sent again with the
// same number: that is safe, whether the first one was stored or not. The service config gives each attempt its
// deadline.
template <typename Call>
grpc::Status Patiently(Call call) {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  std::chrono::milliseconds wait{100};
  while (true) {
    grpc::ClientContext context;
    const grpc::Status status = call(&context);
    if (status.ok()) {
      return status;
    }
    const Failure failure = Failure::Of(status);
    if (!failure.Retryable() || std::chrono::steady_clock::now() >= give_up) {
      return status;
    }
    std::this_thread::sleep_for(std::max(wait, failure.retry_after.value_or(wait)));
    wait = std::min(wait * 2, std::chrono::milliseconds{1000});
  }
}

}  // namespace disgateway
