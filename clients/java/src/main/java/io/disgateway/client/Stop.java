package io.disgateway.client;

import io.grpc.Context;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.LongSupplier;

/** Says, once and to all threads, that the program shall end. */
public final class Stop {
  /** A program with its exit code. */
  @FunctionalInterface
  public interface Program {
    int run(Stop stop) throws InterruptedException;
  }

  private static final long LONGEST_END_SECONDS = 25; // less than the 30 s that Kubernetes leaves after SIGTERM

  private final CountDownLatch latch = new CountDownLatch(1);
  private final Context.CancellableContext context = Context.current().withCancellation();
  private final LongSupplier clock;
  private volatile long requestedAt;

  public Stop() {
    this(System::nanoTime);
  }

  Stop(LongSupplier clock) {
    this.clock = clock;
  }

  /**
   * Runs a program that stops on SIGTERM or SIGINT, and ends the JVM with its exit code. The JVM by itself would end
   * at once upon a signal, with 143: this waits until the program is done.
   */
  public static void run(Program program) {
    var stop = new Stop();
    var exit = new CompletableFuture<Integer>();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      stop.request();
      Runtime.getRuntime().halt(exitCode(exit));
    }));
    int code = 1;
    try {
      code = program.run(stop);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      System.err.println("stopped: interrupted");
    } catch (RuntimeException e) {
      System.err.println("stopped: " + e);
    } finally {
      exit.complete(code); // whatever came: the hook waits for it
    }
    System.exit(code);
  }

  private static int exitCode(CompletableFuture<Integer> exit) {
    try {
      return exit.get(LONGEST_END_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException | ExecutionException | TimeoutException e) {
      return 1;
    }
  }

  public synchronized void request() {
    if (!requested()) {
      requestedAt = clock.getAsLong();
      latch.countDown();
      context.cancel(null);
    }
  }

  public boolean requested() {
    return latch.getCount() == 0;
  }

  /** Waits until it is requested, at most so long; whether it is. */
  public boolean await(long nanos) throws InterruptedException {
    return latch.await(nanos, TimeUnit.NANOSECONDS);
  }

  /** Calls that are made within are cancelled when it is requested. */
  Context context() {
    return context;
  }

  /** When it was requested. */
  long requestedAt() {
    return requestedAt;
  }
}
