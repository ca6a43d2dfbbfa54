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

  static void expectEqual(String what, Object got, Object want) throws Mismatch {
    require(what + " is " + shown(got) + ", not " + shown(want), Objects.equals(got, want));
  }

  static void require(String complaint, boolean isSo) throws Mismatch {
    if (!isSo) {
      throw new Mismatch(complaint);
    }
  }

  static Checkpoint committed(CommitCheckpointResponse response) throws Mismatch {
    expectEqual("result", response.getResult(), CommitResult.COMMIT_RESULT_COMMITTED);
    require("there is no effective", response.hasEffective());
    return response.getEffective();
  }

  static Checkpoint found(GetCheckpointResponse response) throws Mismatch {
    expectEqual("found", response.getFound(), true);
    require("there is no checkpoint", response.hasCheckpoint());
    return response.getCheckpoint();
  }

  static void expectNotFound(GetCheckpointResponse response) throws Mismatch {
    expectEqual("found", response.getFound(), false);
    require("there is a checkpoint", !response.hasCheckpoint());
  }

  /** The element of a batch must be an answer. */
  static GetCheckpointResponse response(BatchGetCheckpointsResult result) throws Mismatch {
    require("a result of the batch is " + shown(result), result.hasResponse());
    return result.getResponse();
  }

  static void expectCheckpoint(Checkpoint checkpoint, String partition, String number, String metadata)
      throws Mismatch {
    expectEqual("partition_id", checkpoint.getKey().getPartitionId(), partition);
    expectEqual("sequence_number", checkpoint.getSequenceNumber(), number);
    expectEqual("metadata", checkpoint.getMetadata(), metadata);
  }

  static void expectChange(WatchCheckpointsResponse message, String number, String metadata) throws Mismatch {
    expectEqual("found", message.getFound(), true);
    expectEqual("partition of the message", message.getKey().getPartitionId(), "shardId-0000000002");
    expectCheckpoint(message.getCheckpoint(), "shardId-0000000002", number, metadata);
  }

  static void expectPartitions(List<PartitionState> partitions, int first, String... numbers) throws Mismatch {
    expectEqual("number of partitions", partitions.size(), numbers.length);
    for (int i = 0; i < numbers.length; i++) {
      var state = partitions.get(i);
      expectEqual("found of partition " + (first + i), state.getFound(), true);
      expectEqual("status of partition " + (first + i), state.getStatus(), "ACTIVE");
      expectCheckpoint(state.getCheckpoint(), shard(first + i), numbers[i], "");
    }
  }

  static String shard(long partition) {
    return String.format("shardId-%010d", partition);
  }

  private static String shown(Object value) {
    return value instanceof String text ? '"' + text + '"' : String.valueOf(value).strip();
  }
}
