package io.disgateway.transcript;

import io.disgateway.v1.BatchGetCheckpointsResult;
import io.disgateway.v1.Checkpoint;
import io.disgateway.v1.CommitCheckpointResponse;
import io.disgateway.v1.CommitResult;
import io.disgateway.v1.GetCheckpointResponse;
import io.disgateway.v1.PartitionState;
import io.disgateway.v1.WatchCheckpointsResponse;
import java.util.List;
import java.util.Objects;

/** Compares what came back with what the transcript says. */
final class Check {
  private Check() {}

  static void same(String what, Object got, Object want) throws Differs {
    holds(what + " is " + shown(got) + ", not " + shown(want), Objects.equals(got, want));
  }

  static void holds(String complaint, boolean isSo) throws Differs {
    if (!isSo) {
      throw new Differs(complaint);
    }
  }

  static Checkpoint committed(CommitCheckpointResponse response) throws Differs {
    same("result", response.getResult(), CommitResult.COMMIT_RESULT_COMMITTED);
    holds("there is no effective", response.hasEffective());
    return response.getEffective();
  }

  static Checkpoint found(GetCheckpointResponse response) throws Differs {
    same("found", response.getFound(), true);
    holds("there is no checkpoint", response.hasCheckpoint());
    return response.getCheckpoint();
  }

  static void notFound(GetCheckpointResponse response) throws Differs {
    same("found", response.getFound(), false);
    holds("there is a checkpoint", !response.hasCheckpoint());
  }

  /** The element of a batch must be an answer. */
  static GetCheckpointResponse read(BatchGetCheckpointsResult result) throws Differs {
    holds("a result of the batch is " + shown(result), result.hasResponse());
    return result.getResponse();
  }

  static void at(Checkpoint checkpoint, String partition, String number, String metadata) throws Differs {
    same("partition_id", checkpoint.getKey().getPartitionId(), partition);
    same("sequence_number", checkpoint.getSequenceNumber(), number);
    same("metadata", checkpoint.getMetadata(), metadata);
  }

  static void seen(WatchCheckpointsResponse message, String number, String metadata) throws Differs {
    same("found", message.getFound(), true);
    same("partition of the message", message.getKey().getPartitionId(), "shardId-0000000002");
    at(message.getCheckpoint(), "shardId-0000000002", number, metadata);
  }

  static void listed(List<PartitionState> partitions, int first, String... numbers) throws Differs {
    same("number of partitions", partitions.size(), numbers.length);
    for (int i = 0; i < numbers.length; i++) {
      var state = partitions.get(i);
      same("found of partition " + (first + i), state.getFound(), true);
      same("status of partition " + (first + i), state.getStatus(), "ACTIVE");
      at(state.getCheckpoint(), shard(first + i), numbers[i], "");
    }
  }

  static String shard(long partition) {
    return String.format("shardId-%010d", partition);
  }

  private static String shown(Object value) {
    return value instanceof String text ? '"' + text + '"' : String.valueOf(value).strip();
  }
}
