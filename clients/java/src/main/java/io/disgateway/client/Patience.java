package io.disgateway.client;

import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.function.Supplier;

/** Calls until there is an answer that stands: a gateway that restarts is back within seconds. */
public final class Patience {
  private static final Duration LONGEST_WAIT = Duration.ofSeconds(1);

  private final ManagedChannel channel;
  private final Duration limit;

  /** With a limit of less than the 30 s that Kubernetes leaves after SIGTERM. */
  public Patience(ManagedChannel channel) {
    this(channel, Duration.ofSeconds(22));
  }

  public Patience(ManagedChannel channel, Duration limit) {
    this.channel = channel;
    this.limit = limit;
  }

  /**
   * Makes one call, as often as it takes. A commit whose outcome is unknown is sent again with the same number: that is
   * safe, whether the first one was stored or not.
   *
   * @throws StatusRuntimeException the last failure
   */
  public <T> T call(Supplier<T> call) throws InterruptedException {
    long began = System.nanoTime();
    var wait = Duration.ofMillis(100);
    while (true) {
      try {
        return call.get();
      } catch (StatusRuntimeException e) {
        var failure = Failure.of(e);
        if (!failure.retryable() || System.nanoTime() - began >= limit.toNanos()) {
          throw e;
        }
        Thread.sleep(longer(wait, failure.retryAfter().orElse(Duration.ZERO)).toMillis());
        // Otherwise grpc would wait up to two minutes before it tries to connect again.
        channel.resetConnectBackoff();
        wait = wait.compareTo(LONGEST_WAIT) < 0 ? wait.multipliedBy(2) : LONGEST_WAIT;
      }
    }
  }

  private static Duration longer(Duration one, Duration other) {
    return one.compareTo(other) >= 0 ? one : other;
  }
}
