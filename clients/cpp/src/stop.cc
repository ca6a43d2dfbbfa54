#include "disgateway/stop.h"

#include <signal.h>

#include <thread>

namespace disgateway {

Stop::CancelsCall::CancelsCall(Stop& stop, grpc::ClientContext& context) : stop_(stop), context_(context) {
  const std::lock_guard lock(stop_.mutex_);
  stop_.calls_.insert(&context_);
  if (stop_.requested_at_) {
    context_.TryCancel();
  }
}

Stop::CancelsCall::~CancelsCall() {
  const std::lock_guard lock(stop_.mutex_);
  stop_.calls_.erase(&context_);
}

void Stop::Request() {
  const std::lock_guard lock(mutex_);
  if (requested_at_) {
    return;
  }
  requested_at_ = Clock::now();
  for (grpc::ClientContext* const context : calls_) {
    context->TryCancel();
  }
  requested_.notify_all();
}

std::optional<Stop::Clock::time_point> Stop::RequestedAt() const {
  const std::lock_guard lock(mutex_);
  return requested_at_;
}

bool Stop::WaitUntil(Clock::time_point when) const {
  std::unique_lock lock(mutex_);
  return requested_.wait_until(lock, when, [this] { return requested_at_.has_value(); });
}

std::shared_ptr<Stop> StopOnSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  auto stop = std::make_shared<Stop>();
  // Nobody waits for it when the program ends without a signal.
  std::thread([stop, signals] {
    int signal = 0;
    sigwait(&signals, &signal);
    stop->Request();
  }).detach();
  return stop;
}

}  // namespace disgateway
