package io.disgateway.client;

import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.LongSupplier;

/**
 * Makes one call until it succeeds, fails for good, or has taken 20 seconds, all attempts included: a gateway that
 * restarts is back within seconds. Each attempt is given its deadline, at most five seconds away.
 */
public class Retry {
  private static final long TOTAL = TimeUnit.SECONDS.toNanos(20);
  private static final long ATTEMPT = TimeUnit.SECONDS.toNanos(5);
  private static final long AFTER_STOP = TimeUnit.SECONDS.toNanos(10);
  private static final long SHORTEST_WAIT = TimeUnit.MILLISECONDS.toNanos(250);
  private static final long LONGEST_BACKOFF = TimeUnit.SECONDS.toNanos(2);

  private final Runnable beforeRetry;
  private final Stop stop;
  private final LongSupplier clock;

  public Retry(ManagedChannel channel, Stop stop) {
    // Otherwise grpc would wait up to two minutes before it tries to connect again.
    this(channel::resetConnectBackoff, stop, System::nanoTime);
  }

  Retry(Runnable beforeRetry, Stop stop, LongSupplier clock) {
    this.beforeRetry = beforeRetry;
    this.stop = stop;
    this.clock = clock;
  }

  /**
   * Makes a call that is not worth waiting for when the program shall end: it is cancelled then.
   *
   * @return nothing if the program shall end
   * @throws RetryException the call has failed
   */
  public <T> Optional<T> read(Function<Deadline, T> call) throws InterruptedException {
    long began = clock.getAsLong();
    for (int retries = 0; !stop.requested(); retries++) {
      var previous = stop.context().attach();
      try {
        return Optional.of(call.apply(attemptUntil(began + TOTAL)));
      } catch (StatusRuntimeException e) {
        if (stop.requested()) {
          break; // this cancelled it
        }
        var failure = Failure.from(e);
        long wake = clock.getAsLong() + delay(failure, retries);
        if (!failure.retryable() || wake - began > TOTAL) {
          throw new RetryException(failure.explain(), failure, failure.outcomeUnknown(), e);
        }
        pause(wake - clock.getAsLong(), true);
      } finally {
        stop.context().detach(previous);
      }
      beforeRetry.run();
    }
    return Optional.empty();
  }

  /**
   * Makes a commit. When the program shall end it goes on, for ten seconds. If the outcome is unknown it is sent again
   * with the same number: that is safe, whether the first one was stored or not.
   *
   * @throws RetryException it has failed; the message says whether it may be stored
   */
  public <T> T commit(Function<Deadline, T> call) throws InterruptedException {
    long began = clock.getAsLong();
    boolean outcomeUnknown = false;
    for (int retries = 0;; retries++) {
      try {
        return call.apply(attemptUntil(endOfCommit(began)));
      } catch (StatusRuntimeException e) {
        var failure = Failure.from(e);
        outcomeUnknown |= failure.outcomeUnknown();
        if (!failure.retryable() || !pauseWithin(began, delay(failure, retries))) {
          var verdict = outcomeUnknown ? "it may be committed: " : "it is not committed: ";
          throw new RetryException(verdict + failure.explain(), failure, outcomeUnknown, e);
        }
      }
      beforeRetry.run();
    }
  }

  private long endOfCommit(long began) {
    long end = began + TOTAL;
    if (!stop.requested()) {
      return end;
    }
    long stopped = Math.max(stop.requestedAt() - began, 0);
    return Math.min(end - began, stopped + AFTER_STOP) + began;
  }

  /** Waits, if there is time for another attempt after that. A stop, which may come meanwhile, leaves less of it. */
  private boolean pauseWithin(long began, long nanos) throws InterruptedException {
    long wake = clock.getAsLong() + nanos;
    do {
      if (wake - endOfCommit(began) > 0) {
        return false;
      }
      pause(wake - clock.getAsLong(), !stop.requested());
    } while (wake - clock.getAsLong() > 0);
    return true;
  }

  private Deadline attemptUntil(long end) {
    return Deadline.after(Math.min(ATTEMPT, end - clock.getAsLong()), TimeUnit.NANOSECONDS);
  }

  private static long delay(Failure failure, int retries) {
    if (failure.retryDelay().isPresent()) {
      var delay = failure.retryDelay().get();
      return delay.compareTo(Duration.ofNanos(TOTAL)) > 0 ? TOTAL + 1 : Math.max(delay.toNanos(), SHORTEST_WAIT);
    }
    long backoff = Math.min(SHORTEST_WAIT << Math.min(retries, 10), LONGEST_BACKOFF);
    return (long) (backoff * ThreadLocalRandom.current().nextDouble(0.8, 1.2));
  }

  /** Waits, or until the program shall end. Tests have a clock of their own. */
  void pause(long nanos, boolean untilStop) throws InterruptedException {
    if (untilStop) {
      stop.await(nanos);
    } else {
      TimeUnit.NANOSECONDS.sleep(nanos);
    }
  }
}
