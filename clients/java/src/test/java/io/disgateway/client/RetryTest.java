package io.disgateway.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import org.junit.jupiter.api.Test;

/** With a clock that goes on only when somebody waits or a call takes its time. */
class RetryTest {
  private static final StatusRuntimeException BROKEN = Status.UNAVAILABLE.asRuntimeException();

  private long now = 5;
  private double stopAt = Double.MAX_VALUE;
  private final List<Double> pauses = new ArrayList<>();
  private final Stop stop = new Stop(() -> now);
  private final Retry retry = new Retry(() -> {}, stop, () -> now) {
    @Override
    void pause(long nanos, boolean untilStop) {
      pauses.add(nanos / 1e9);
      if (untilStop && now + nanos > stopAt) {
        now = (long) stopAt;
        stop.request();
      } else {
        now += nanos;
      }
    }
  };

  @Test
  void succeedsAfterFailures() throws InterruptedException {
    assertEquals(Optional.of("yes"), retry.read(failing(3, BROKEN)));
    assertEquals("yes", retry.commit(failing(2, BROKEN)));
    assertEquals(5, pauses.size());
    var expected = List.of(0.25, 0.5, 1.0, 0.25, 0.5);
    for (int i = 0; i < pauses.size(); i++) {
      assertEquals(expected.get(i), pauses.get(i), expected.get(i) * 0.21);
    }
  }

  @Test
  void givesUpAfterTwentySeconds() {
    var error = assertThrows(RetryException.class, () -> retry.commit(taking(5, BROKEN)));
    assertTrue(error.outcomeUnknown());
    assertTrue(error.getMessage().startsWith("it may be committed: UNAVAILABLE"), error.getMessage());
    assertTrue(now <= 20e9 + 5 && now > 15e9, "after " + now);
    now = 5;
    assertThrows(RetryException.class, () -> retry.read(taking(5, BROKEN)));
    assertTrue(now <= 20e9 + 5 && now > 15e9, "after " + now);
  }

  @Test
  void waitsAsTheGatewaySays() throws InterruptedException {
    retry.commit(failing(1, refused("UPSTREAM_THROTTLED", Duration.ofSeconds(4))));
    retry.commit(failing(1, refused("GATEWAY_DRAINING", Duration.ZERO)));
    assertEquals(List.of(4.0, 0.25), pauses);
  }

  @Test
  void givesUpAtOnceIfTheWaitIsTooLong() {
    for (var delay : List.of(Duration.ofSeconds(21), Duration.ofSeconds(300_000_000_000L))) {
      var error = assertThrows(
          RetryException.class, () -> retry.commit(failing(1, refused("UPSTREAM_THROTTLED", delay))));
      assertFalse(error.outcomeUnknown());
      assertTrue(error.getMessage().startsWith("it is not committed: "), error.getMessage());
      assertThrows(RetryException.class, () -> retry.read(failing(1, refused("UPSTREAM_THROTTLED", delay))));
    }
    assertEquals(List.of(), pauses);
  }

  @Test
  void remembersThatACommitMayBeStored() {
    var attempts = List.of(BROKEN, refused(Failure.CHECKPOINT_REGRESSION, null)).iterator();
    var error = assertThrows(RetryException.class, () -> retry.commit(deadline -> {
      throw attempts.next();
    }));
    assertTrue(error.outcomeUnknown());
    assertEquals(Failure.CHECKPOINT_REGRESSION, error.failure().reason());
  }

  @Test
  void doesNotRepeatWhatCannotSucceed() {
    var fenced = refused(Failure.CONSUMER_FENCED, null);
    var error = assertThrows(RetryException.class, () -> retry.commit(failing(1, fenced)));
    assertTrue(error.getMessage().startsWith("it is not committed: another consumer"), error.getMessage());
    assertThrows(RetryException.class, () -> retry.read(failing(1, fenced)));
    assertEquals(List.of(), pauses);
  }

  @Test
  void aReadEndsWhenTheProgramShallEnd() throws InterruptedException {
    stopAt = 3e9;
    assertEquals(Optional.empty(), retry.read(taking(0, BROKEN)));
    assertEquals(3e9, now);
    assertEquals(Optional.empty(), retry.read(failing(0, BROKEN)));
  }

  @Test
  void aReadUnderWayIsCancelled() throws InterruptedException {
    var got = retry.read(deadline -> {
      stop.request();
      assertTrue(Context.current().isCancelled());
      throw Status.CANCELLED.asRuntimeException();
    });
    assertEquals(Optional.empty(), got);
    assertFalse(Context.current().isCancelled());
  }

  @Test
  void aCommitGoesOnForTenSeconds() {
    stopAt = 3e9;
    assertThrows(RetryException.class, () -> retry.commit(taking(0, BROKEN)));
    assertTrue(now <= 13e9 && now > 10e9, "after " + now);
    // The last commit, which begins after that.
    now = (long) 60e9;
    assertThrows(RetryException.class, () -> retry.commit(taking(0, BROKEN)));
    assertTrue(now <= 70e9 && now > 67e9, "after " + now);
  }

  @Test
  void aLongWaitEndsWhenTheProgramShallEnd() {
    stopAt = 1e9;
    var throttled = refused("UPSTREAM_THROTTLED", Duration.ofSeconds(15));
    assertThrows(RetryException.class, () -> retry.commit(failing(1, throttled)));
    assertEquals(1e9, now);
  }

  @Test
  void attemptsHaveDeadlines() throws InterruptedException {
    retry.commit(deadline -> {
      assertEquals(5, deadline.timeRemaining(java.util.concurrent.TimeUnit.NANOSECONDS) / 1e9, 0.5);
      return "yes";
    });
    stop.request();
    var error = assertThrows(RetryException.class, () -> retry.commit(deadline -> {
      double left = 10 - (now - 5) / 1e9;
      double given = deadline.timeRemaining(java.util.concurrent.TimeUnit.NANOSECONDS) / 1e9;
      assertEquals(Math.min(5, left), given, 0.5);
      now += (long) (given * 1e9);
      throw BROKEN;
    }));
    assertTrue(error.outcomeUnknown());
  }

  /** A call that succeeds after so many failures. */
  private static Function<Deadline, String> failing(int times, StatusRuntimeException error) {
    int[] left = {times};
    return deadline -> {
      if (left[0]-- > 0) {
        throw error;
      }
      return "yes";
    };
  }

  /** A call that always fails, after so many seconds if it may take them. */
  private Function<Deadline, String> taking(double seconds, StatusRuntimeException error) {
    long start = now;
    return deadline -> {
      now += (long) Math.min(seconds * 1e9, Math.max(start + 20e9 - now, 0));
      throw error;
    };
  }

  private static StatusRuntimeException refused(String reason, Duration delay) {
    var info = ErrorInfo.newBuilder().setDomain(Failure.DOMAIN).setReason(reason).build();
    var status = com.google.rpc.Status.newBuilder()
        .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
        .addDetails(Any.pack(info));
    if (delay != null) {
      var seconds = com.google.protobuf.Duration.newBuilder().setSeconds(delay.toSeconds());
      status.addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(seconds).build()));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }
}
