package io.disgateway.example;

import io.disgateway.client.Channels;
import io.disgateway.client.Retry;
import io.disgateway.client.RetryException;
import io.disgateway.client.SequenceNumbers;
import io.disgateway.client.Stop;
import io.disgateway.v1.CheckpointServiceGrpc;
import io.disgateway.v1.CheckpointServiceGrpc.CheckpointServiceBlockingStub;
import io.disgateway.v1.CommitCheckpointRequest;
import io.disgateway.v1.GetCheckpointRequest;
import io.disgateway.v1.ReadMode;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * What a program that reads one partition of a DIS stream looks like with the gateway. It resumes after its checkpoint,
 * processes, commits now and then, and finishes with a last commit on SIGTERM. The record stream is simulated.
 */
public record Consumer(CheckpointServiceBlockingStub gateway, Retry retry, Stop stop, Flags flags) {

  private void run() throws InterruptedException {
    long processed = 0;
    var resumed = resume();
    if (resumed.isPresent()) { // else asked to stop before that
      long last = resumed.get();
      long uncommitted = 0;
      long now = System.nanoTime();
      long next = now;
      long due = now;
      // Stands for the DIS stream: a cursor of type AFTER_SEQUENCE_NUMBER at the checkpoint, TRIM_HORIZON without one.
      while (!stop.await((uncommitted > 0 ? Math.min(next, due) : next) - now)) {
        now = System.nanoTime();
        if (now >= next) {
          // Here a real consumer works on record last + 1, and goes on when it has finished.
          last++;
          processed++;
          next = now + flags.interval().toNanos();
          if (uncommitted++ == 0) {
            due = now + flags.commitAfter().toNanos();
          }
        }
        if (uncommitted >= flags.commitEvery() || (uncommitted > 0 && now >= due)) {
          commit(last);
          uncommitted = 0;
          now = System.nanoTime();
        }
      }
      if (uncommitted > 0) {
        commit(last);
      }
    }
    System.out.println("processed " + processed + " records");
  }

  /** The number of the last record that an earlier run has finished, or -1; nothing if asked to stop. */
  private Optional<Long> resume() throws InterruptedException {
    // Fresh, as whoever had the partition before may have committed through another gateway.
    var request = GetCheckpointRequest.newBuilder().setKey(flags.key()).setReadMode(ReadMode.READ_MODE_FRESH).build();
    // An error never means that there is no checkpoint: starting over here would repeat the whole stream.
    return retry.read(deadline -> gateway.withDeadline(deadline).getCheckpoint(request)).map(answer -> {
      if (!answer.getFound()) {
        System.out.println("no checkpoint: starting at the oldest record");
        return -1L;
      }
      long last = SequenceNumbers.parse(answer.getCheckpoint().getSequenceNumber());
      System.out.println("resuming after " + last);
      return last;
    });
  }

  /** Stores the number of the LAST record that is finished. If it fails, the next start reads what stands. */
  private void commit(long number) throws InterruptedException {
    var request = CommitCheckpointRequest.newBuilder()
        .setKey(flags.key())
        .setSequenceNumber(Long.toString(number))
        .setClientId(flags.clientId())
        .setGenerationId(flags.generationId())
        .build();
    var answer = retry.commit(deadline -> gateway.withDeadline(deadline).commitCheckpoint(request));
    long effective = SequenceNumbers.parse(answer.getEffective().getSequenceNumber());
    if (effective != number) {
      throw new IllegalStateException(number + " is not what stands: another consumer has committed " + effective);
    }
    System.out.println("committed " + number);
  }

  private static int run(Flags flags, Stop stop) throws InterruptedException {
    var channel = Channels.withServiceConfig(flags.target()).build();
    try {
      new Consumer(CheckpointServiceGrpc.newBlockingStub(channel), new Retry(channel, stop), stop, flags).run();
      return 0;
    } catch (RetryException | IllegalStateException | NumberFormatException e) {
      System.err.println("stopped: " + e.getMessage());
      return 1;
    } finally {
      channel.shutdown().awaitTermination(1, TimeUnit.SECONDS);
    }
  }

  public static void main(String[] args) {
    try {
      var flags = Flags.parse(args);
      Stop.run(stop -> run(flags, stop));
    } catch (IllegalArgumentException e) {
      System.err.println("consumer: " + e.getMessage());
      System.exit(2);
    }
  }
}
