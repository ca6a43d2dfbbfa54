#include "disgateway/retry.h"

#include <algorithm>
#include <random>
#include <thread>

namespace disgateway {
namespace {

using Clock = Stop::Clock;
using std::chrono::nanoseconds;

std::chrono::system_clock::time_point Deadline(nanoseconds from_now) {
  return std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::system_clock::duration>(from_now);
}

// How long to wait after the first failure, the second, and so on.
class Backoff {
 public:
  explicit Backoff(const RetryTimes& times) : shortest_(times.shortest_wait), longest_(times.longest_backoff) {}

  nanoseconds Next(const Failure& failure) {
    const nanoseconds backoff = next_;
    next_ = std::min(next_ * 2, longest_);
    if (failure.retry_delay) {
      return std::max<nanoseconds>(*failure.retry_delay, shortest_);
    }
    std::uniform_real_distribution<double> jitter(0.8, 1.2);
    return std::chrono::duration_cast<nanoseconds>(backoff * jitter(random_));
  }

 private:
  const nanoseconds shortest_, longest_;
  nanoseconds next_ = shortest_;
  std::minstd_rand random_{std::random_device{}()};
};

// Until when a commit may take. A stop leaves less time.
Clock::time_point EndOfCommit(const Stop& stop, Clock::time_point began, const RetryTimes& times) {
  const auto end = began + times.total;
  const auto stopped = stop.RequestedAt();
  return stopped ? std::min(end, std::max(*stopped, began) + times.after_stop) : end;
}

}  // namespace

bool RetryRead(Stop& stop, const Call& call, const RetryTimes& times) {
  const auto end = Clock::now() + times.total;
  Backoff backoff(times);
  while (!stop.IsRequested()) {
    grpc::ClientContext context;
    context.set_deadline(Deadline(std::min<nanoseconds>(times.attempt, end - Clock::now())));
    grpc::Status status;
    {
      const Stop::CancelsCall cancels(stop, context);
      status = call(&context);
    }
    if (status.ok()) {
      return true;
    }
    if (stop.IsRequested()) {
      return false;  // this cancelled it
    }
    const Failure failure = Failure::From(status);
    const nanoseconds delay = backoff.Next(failure);
    if (!failure.Retryable() || delay > end - Clock::now()) {
      throw Error(failure.Explain(), failure, failure.OutcomeUnknown());
    }
    stop.WaitUntil(Clock::now() + delay);
  }
  return false;
}

void RetryCommit(Stop& stop, const Call& call, const RetryTimes& times) {
  const auto began = Clock::now();
  const auto left = [&] { return EndOfCommit(stop, began, times) - Clock::now(); };
  bool outcome_unknown = false;
  Backoff backoff(times);
  while (true) {
    grpc::ClientContext context;
    context.set_deadline(Deadline(std::min<nanoseconds>(times.attempt, left())));
    const grpc::Status status = call(&context);
    if (status.ok()) {
      return;
    }
    const Failure failure = Failure::From(status);
    outcome_unknown = outcome_unknown || failure.OutcomeUnknown();
    const nanoseconds delay = backoff.Next(failure);
    bool again = failure.Retryable() && delay <= left();
    if (again) {
      const auto wake = Clock::now() + delay;
      if (stop.WaitUntil(wake)) {  // it leaves less time, perhaps too little
        again = wake <= EndOfCommit(stop, began, times);
        if (again) {
          std::this_thread::sleep_until(wake);
        }
      }
    }
    if (!again) {
      throw Error((outcome_unknown ? "it may be committed: " : "it is not committed: ") + failure.Explain(), failure,
                  outcome_unknown);
    }
  }
}

}  // namespace disgateway
