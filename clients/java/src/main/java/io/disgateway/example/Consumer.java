package io.disgateway.example;

import io.disgateway.client.Channels;
import io.disgateway.client.Failure;
import io.disgateway.client.Patience;
import io.disgateway.v1.CheckpointKey;
import io.disgateway.v1.CheckpointServiceGrpc;
import io.disgateway.v1.CheckpointServiceGrpc.CheckpointServiceBlockingStub;
import io.disgateway.v1.CommitCheckpointRequest;
import io.disgateway.v1.GetCheckpointRequest;
import io.disgateway.v1.ReadMode;
import io.grpc.StatusRuntimeException;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * What a program that reads one partition of a DIS stream looks like with the gateway. It resumes after its checkpoint,
 * processes, commits now and then, and finishes with a last commit on SIGTERM. The record stream is simulated.
 */
public final class Consumer {
  private final CheckpointServiceBlockingStub gateway;
  private final Patience patience;
  private final CheckpointKey key;

  private Consumer(CheckpointServiceBlockingStub gateway, Patience patience, CheckpointKey key) {
    this.gateway = gateway;
    this.patience = patience;
    this.key = key;
  }

  private void run(CountDownLatch stop, int commitEvery, double commitSeconds, long intervalMillis)
      throws InterruptedException {
    // An error never means that there is no checkpoint: starting over here would repeat the whole stream.
    long last = resume();
    long processed = 0;
    long uncommitted = 0;
    long now = System.nanoTime();
    long next = now;
    long due = 0;
    // Stands for the DIS stream: a cursor of type AFTER_SEQUENCE_NUMBER at the checkpoint, TRIM_HORIZON without one.
    while (!stop.await((uncommitted > 0 ? Math.min(next, due) : next) - now, TimeUnit.NANOSECONDS)) {
      now = System.nanoTime();
      if (now >= next) {
        // Here a real consumer works on the record, and goes on when it has finished.
        last++;
        processed++;
        next = now + TimeUnit.MILLISECONDS.toNanos(intervalMillis);
        if (uncommitted++ == 0) {
          due = now + (long) (commitSeconds * 1e9);
        }
      }
      if (uncommitted >= commitEvery || (uncommitted > 0 && now >= due)) {
        commit(last);
        uncommitted = 0;
      }
    }
    if (uncommitted > 0) {
      commit(last);
    }
    System.out.println("processed " + processed + " records");
  }

  /** Gives the number of the last record that an earlier run has finished, or -1. */
  private long resume() throws InterruptedException {
    // Fresh, as whoever had the partition before may have committed through another gateway.
    var request = GetCheckpointRequest.newBuilder().setKey(key).setReadMode(ReadMode.READ_MODE_FRESH).build();
    var answer = patience.call(() -> gateway.getCheckpoint(request));
    if (!answer.getFound()) {
      System.out.println("no checkpoint: starting at the oldest record");
      return -1;
    }
    System.out.println("resuming after " + answer.getCheckpoint().getSequenceNumber());
    return Long.parseLong(answer.getCheckpoint().getSequenceNumber());
  }

  /** Stores the number of the LAST record that is finished. If it fails, the next start reads what stands. */
  private void commit(long number) throws InterruptedException {
    var request = CommitCheckpointRequest.newBuilder().setKey(key).setSequenceNumber(Long.toString(number)).build();
    patience.call(() -> gateway.commitCheckpoint(request));
    System.out.println("committed " + number);
  }

  public static void main(String[] args) {
    var stop = new CountDownLatch(1);
    var exit = new CompletableFuture<Integer>();
    // The JVM would end with 143 upon SIGTERM, and not wait: this waits for the last commit, and ends as that did.
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      stop.countDown();
      Runtime.getRuntime().halt(exit.join());
    }));
    exit.complete(consume(flags(args), stop));
    System.exit(exit.join());
  }

  private static int consume(Map<String, String> flags, CountDownLatch stop) {
    var channel = Channels.withServiceConfig(flags.getOrDefault("--target", "127.0.0.1:50551")).build();
    var key = CheckpointKey.newBuilder()
        .setStreamName(flags.get("--stream"))
        .setAppName(flags.get("--app"))
        .setPartitionId(flags.getOrDefault("--partition", "0"))
        .build();
    try {
      new Consumer(CheckpointServiceGrpc.newBlockingStub(channel), new Patience(channel), key).run(
          stop,
          Integer.parseInt(flags.getOrDefault("--commit-every", "10")),
          Double.parseDouble(flags.getOrDefault("--commit-seconds", "1")),
          Long.parseLong(flags.getOrDefault("--interval-ms", "100")));
      return 0;
    } catch (StatusRuntimeException e) {
      var failure = Failure.of(e);
      System.err.println(switch (failure.reason()) {
        case Failure.CHECKPOINT_REGRESSION, Failure.CONSUMER_FENCED ->
            "consumer: stopped, as another one reads this partition: " + failure;
        default -> "consumer: stopped: " + failure;
      });
      return 1;
    } catch (InterruptedException e) {
      return 1;
    } finally {
      channel.shutdown();
    }
  }

  private static Map<String, String> flags(String[] args) {
    var flags = new HashMap<String, String>();
    for (int i = 0; i + 1 < args.length; i += 2) {
      flags.put(args[i], args[i + 1]);
    }
    if (!flags.containsKey("--stream") || !flags.containsKey("--app")) {
      System.err.println("consumer: --stream and --app are mandatory");
      System.exit(2);
    }
    return flags;
  }
}
