#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

namespace disgateway {

// Says, once and to all threads, that the program shall end.
class Stop {
 public:
  using Clock = std::chrono::steady_clock;

  // While it lives, a stop cancels the call that has this context.
  class CancelsCall {
   public:
    CancelsCall(Stop& stop, grpc::ClientContext& context);
    ~CancelsCall();
    CancelsCall(const CancelsCall&) = delete;
    CancelsCall& operator=(const CancelsCall&) = delete;

   private:
    Stop& stop_;
    grpc::ClientContext& context_;
  };

  void Request();
  bool IsRequested() const { return RequestedAt().has_value(); }
  // When it was requested, if it was.
  std::optional<Clock::time_point> RequestedAt() const;
  // Waits until it is requested, or until `when`. Gives whether it is requested.
  bool WaitUntil(Clock::time_point when) const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable requested_;
  std::optional<Clock::time_point> requested_at_;
  std::set<grpc::ClientContext*> calls_;
};

// A stop that SIGTERM or SIGINT requests. Call it before anything starts a thread, gRPC included: threads inherit that
// the signals do not end the program.
std::shared_ptr<Stop> StopOnSignals();

}  // namespace disgateway
