package io.disgateway.transcript;

import static io.disgateway.transcript.Check.committed;
import static io.disgateway.transcript.Check.expectChange;
import static io.disgateway.transcript.Check.expectCheckpoint;
import static io.disgateway.transcript.Check.expectEqual;
import static io.disgateway.transcript.Check.expectNotFound;
import static io.disgateway.transcript.Check.expectPartitions;
import static io.disgateway.transcript.Check.found;
import static io.disgateway.transcript.Check.require;
import static io.disgateway.transcript.Check.response;
import static io.disgateway.transcript.Check.shard;

import io.disgateway.client.Channels;
import io.disgateway.client.Failure;
import io.disgateway.v1.BatchCommitCheckpointsRequest;
import io.disgateway.v1.BatchGetCheckpointsRequest;
import io.disgateway.v1.BatchGetCheckpointsResult;
import io.disgateway.v1.Checkpoint;
import io.disgateway.v1.CheckpointKey;
import io.disgateway.v1.CheckpointServiceGrpc;
import io.disgateway.v1.CheckpointServiceGrpc.CheckpointServiceBlockingStub;
import io.disgateway.v1.CheckpointSource;
import io.disgateway.v1.CommitCheckpointRequest;
import io.disgateway.v1.CommitCheckpointResponse;
import io.disgateway.v1.CommitResult;
import io.disgateway.v1.DeleteCheckpointRequest;
import io.disgateway.v1.GetCheckpointRequest;
import io.disgateway.v1.GetCheckpointResponse;
import io.disgateway.v1.ListCheckpointsRequest;
import io.disgateway.v1.ListCheckpointsResponse;
import io.disgateway.v1.ReadMode;
import io.disgateway.v1.StreamCommitsRequest;
import io.disgateway.v1.StreamCommitsResponse;
import io.disgateway.v1.WatchCheckpointsRequest;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** The steps, each what the transcript says of it. */
final class Conversation implements AutoCloseable {
  private static final Duration CALL = Duration.ofSeconds(10);
  private static final Duration STREAM = Duration.ofSeconds(60);
  private static final String SNAKE = "\uD83D\uDC0D"; // one character beyond 16 bits: two chars in Java

  private final String target;
  private final Emulator emulator;
  private final String stream;
  private final String app;
  private ManagedChannel channel;

  /** Has the emulator make the stream and the app anew. */
  Conversation(String target, Emulator emulator, String stream, String app)
      throws Mismatch, IOException, InterruptedException {
    this.target = target;
    this.emulator = emulator;
    this.stream = stream;
    this.app = app;
    emulator.post("reset", "");
    emulator.put("streams/" + stream, "{\"partitions\": 4}");
    emulator.put("apps/" + app, "");
    connect();
  }

  void getNothing() throws Mismatch {
    var got = getFresh("0");
    expectNotFound(got);
    expectEqual("source", got.getSource(), CheckpointSource.CHECKPOINT_SOURCE_UPSTREAM);
  }

  void commitFirst() throws Mismatch {
    var effective = committed(commit(commitOf("0", "41").setMetadata("first")));
    var key = key(shard(0)).toBuilder().setCheckpointType("LAST_READ");
    expectEqual("effective", effective,
        Checkpoint.newBuilder().setKey(key).setSequenceNumber("41").setMetadata("first").build());
  }

  void readBack() throws Mismatch {
    var request = GetCheckpointRequest.newBuilder().setKey(key(shard(0))).build();
    var checkpoint = found(gateway(CALL).getCheckpoint(request));
    expectCheckpoint(checkpoint, shard(0), "41", "first");
    expectEqual("checkpoint_type", checkpoint.getKey().getCheckpointType(), "LAST_READ");

    var got = getFresh("0");
    expectEqual("source", got.getSource(), CheckpointSource.CHECKPOINT_SOURCE_UPSTREAM);
    expectCheckpoint(found(got), shard(0), "41", "first");
  }

  void regression() throws Mismatch {
    new Refusal(Status.Code.FAILED_PRECONDITION, Failure.CHECKPOINT_REGRESSION)
        .with("effective_sequence_number", "41")
        .retry(false)
        .fields()
        .of(() -> commit(commitOf("0", "9")));
  }

  void rewind() throws Mismatch {
    expectCheckpoint(committed(commit(commitOf("0", "9").setAllowRewind(true))), shard(0), "9", "");
    expectCheckpoint(found(getFresh("0")), shard(0), "9", "");
  }

  void astralMetadata() throws Mismatch {
    committed(commit(commitOf("0", "10").setMetadata(SNAKE.repeat(1000))));
    expectCheckpoint(found(getFresh("0")), shard(0), "10", SNAKE.repeat(1000));
    Refusal.invalid("metadata").of(() -> commit(commitOf("0", "11").setMetadata(SNAKE.repeat(1001))));
  }

  void invalidField() throws Mismatch {
    Refusal.invalid("sequence_number").of(() -> commit(commitOf("0", "1.5")));
    var request = GetCheckpointRequest.newBuilder().setKey(key("shardId-7")).build();
    Refusal.invalid("key.partition_id").of(() -> gateway(CALL).getCheckpoint(request));
  }

  void batch() throws Mismatch {
    var commits = BatchCommitCheckpointsRequest.newBuilder()
        .addCommits(commitOf("1", "20"))
        .addCommits(commitOf("0", "5"))
        .addCommits(commitOf("3", "30"))
        .build();
    var results = gateway(CALL).batchCommitCheckpoints(commits).getResultsList();
    expectEqual("number of results", results.size(), 3);
    expectCheckpoint(committed(results.get(0).getResponse()), shard(1), "20", "");
    require("the second result is no status", results.get(1).hasStatus());
    new Refusal(Status.Code.FAILED_PRECONDITION, Failure.CHECKPOINT_REGRESSION)
        .with("effective_sequence_number", "10")
        .retry(false)
        .fields()
        .matches(Failure.from(results.get(1).getStatus()));
    expectCheckpoint(committed(results.get(2).getResponse()), shard(3), "30", "");

    var got = batchGet("3", "2", "nonsense");
    expectCheckpoint(found(response(got.get(0))), shard(3), "30", "");
    expectNotFound(response(got.get(1)));
    require("the third result is no status", got.get(2).hasStatus());
    Refusal.invalid("keys[2].partition_id").matches(Failure.from(got.get(2).getStatus()));
  }

  void stream() throws Mismatch, InterruptedException {
    var answers = new Answers<StreamCommitsResponse>();
    var requests = CheckpointServiceGrpc.newStub(channel)
        .withDeadlineAfter(STREAM.toMillis(), TimeUnit.MILLISECONDS)
        .streamCommits(answers);
    for (long id = 1; id <= 1000; id++) {
      var commit = commitOf(Long.toString(id % 4), Long.toString(1000 + id));
      requests.onNext(StreamCommitsRequest.newBuilder().setId(id).setCommit(commit).build());
    }
    requests.onCompleted();
    Set<Long> answered = new HashSet<>();
    for (var answer : answers.untilEnd()) {
      long id = answer.getId();
      require("id " + id + " was answered twice", answered.add(id));
      require("id " + id + " has no response but " + answer, answer.hasResponse());
      var result = answer.getResponse().getResult();
      require("the result of id " + id + " is " + result,
          result == CommitResult.COMMIT_RESULT_COMMITTED || result == CommitResult.COMMIT_RESULT_SUPERSEDED);
      var effective = answer.getResponse().getEffective();
      expectEqual("partition of id " + id, effective.getKey().getPartitionId(), shard(id % 4));
      require("effective of id " + id + " is " + effective.getSequenceNumber(),
          Long.parseLong(effective.getSequenceNumber()) >= 1000 + id);
    }
    require("ids other than 1 to 1000 were answered", answered.stream().allMatch(id -> id >= 1 && id <= 1000));
    expectEqual("number of answers", answered.size(), 1000);

    var results = batchGet("0", "1", "2", "3");
    var numbers = List.of("2000", "1997", "1998", "1999");
    for (int partition = 0; partition < 4; partition++) {
      expectCheckpoint(found(response(results.get(partition))), shard(partition), numbers.get(partition), "");
    }
  }

  void watch() throws Exception {
    var request = WatchCheckpointsRequest.newBuilder().addKeys(key("2")).build();
    // Closing the context cancels the stream.
    try (var context = Context.current().withCancellation()) {
      var changes = context.call(() -> gateway(STREAM).watchCheckpoints(request));
      expectChange(changes.next(), "1998", "");
      committed(commit(commitOf("2", "2100").setMetadata("watched")));
      expectChange(changes.next(), "2100", "watched");
    }
  }

  void list() throws Mismatch, IOException, InterruptedException {
    emulator.put("offsets", """
        {"stream": "%s", "partition": "2", "earliest": 1000, "latest": 2150}""".formatted(stream));
    var first = page("");
    require("there is no next_page_token", !first.getNextPageToken().isEmpty());
    expectPartitions(first.getPartitionsList(), 0, "2000", "1997", "2100");
    var third = first.getPartitions(2);
    expectEqual("earliest", third.getEarliestSequenceNumber(), "1000");
    expectEqual("latest", third.getLatestSequenceNumber(), "2150");
    expectEqual("lag", third.getLag(), 50L);
    var rest = page(first.getNextPageToken());
    expectEqual("next_page_token", rest.getNextPageToken(), "");
    expectPartitions(rest.getPartitionsList(), 3, "1999");
  }

  void delete() throws Mismatch {
    var request = DeleteCheckpointRequest.newBuilder().setKey(key("3")).build();
    gateway(CALL).deleteCheckpoint(request);
    expectNotFound(getFresh("3"));
    gateway(CALL).deleteCheckpoint(request);
  }

  void deadline() throws Mismatch, IOException, InterruptedException {
    emulator.post("faults", """
        {"kind": "hold", "method": "GET", "times": 0}""");
    long start = System.nanoTime();
    var failure = Refusal.failureOf(() -> gateway(Duration.ofMillis(500)).getCheckpoint(fresh("0")));
    var took = Duration.ofNanos(System.nanoTime() - start);
    emulator.delete("faults");
    emulator.post("release", "");
    // The gateway's answer and the library's own race here.
    var reason = failure.reason().isEmpty() ? "" : "UPSTREAM_TOO_SLOW";
    new Refusal(Status.Code.DEADLINE_EXCEEDED, reason).matches(failure);
    require("it took " + took, took.compareTo(Duration.ofSeconds(3)) <= 0);
    expectCheckpoint(found(getFresh("0")), shard(0), "2000", "");
  }

  void outage() throws Mismatch, IOException, InterruptedException {
    emulator.post("faults", """
        {"kind": "error", "code": "DIS.5000", "method": "GET", "times": 0}""");
    var failure = Refusal.failureOf(() -> getFresh("0"));
    emulator.delete("faults");
    new Refusal(Status.Code.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")
        .with("dis_error_code", "DIS.5000")
        .with("http_status", "500")
        .retry(true)
        .fields()
        .matches(failure);
    expectCheckpoint(found(getFresh("0")), shard(0), "2000", "");
  }

  void lostAnswer() throws Mismatch, IOException, InterruptedException {
    emulator.post("faults", """
        {"kind": "cut_after", "method": "POST", "times": 1}""");
    new Refusal(Status.Code.UNAVAILABLE, Failure.COMMIT_OUTCOME_UNKNOWN)
        .fields()
        .of(() -> commit(commitOf("0", "2200")));
    expectCheckpoint(committed(commit(commitOf("0", "2200"))), shard(0), "2200", "");
  }

  void fenced() throws Mismatch, IOException, InterruptedException {
    emulator.post("faults", """
        {"kind": "error", "code": "DIS.4702", "method": "POST", "times": 1}""");
    new Refusal(Status.Code.FAILED_PRECONDITION, Failure.CONSUMER_FENCED)
        .with("dis_error_code", "DIS.4702")
        .with("http_status", "400")
        .retry(false)
        .fields()
        .of(() -> commit(commitOf("0", "2300").setClientId("consumer-1").setGenerationId("7")));
  }

  void reconnect() throws Mismatch, InterruptedException {
    close();
    connect();
    var got = getFresh("0");
    expectEqual("source", got.getSource(), CheckpointSource.CHECKPOINT_SOURCE_UPSTREAM);
    expectCheckpoint(found(got), shard(0), "2200", "");
    expectCheckpoint(committed(commit(commitOf("0", "2201"))), shard(0), "2201", "");
  }

  @Override
  public void close() throws InterruptedException {
    channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
  }

  private void connect() {
    channel = Channels.to(target).disableRetry().build();
  }

  private CheckpointServiceBlockingStub gateway(Duration deadline) {
    return CheckpointServiceGrpc.newBlockingStub(channel).withDeadlineAfter(deadline.toMillis(), TimeUnit.MILLISECONDS);
  }

  private CheckpointKey key(String partition) {
    return CheckpointKey.newBuilder().setStreamName(stream).setAppName(app).setPartitionId(partition).build();
  }

  private GetCheckpointRequest fresh(String partition) {
    return GetCheckpointRequest.newBuilder().setKey(key(partition)).setReadMode(ReadMode.READ_MODE_FRESH).build();
  }

  private GetCheckpointResponse getFresh(String partition) {
    return gateway(CALL).getCheckpoint(fresh(partition));
  }

  private CommitCheckpointRequest.Builder commitOf(String partition, String number) {
    return CommitCheckpointRequest.newBuilder().setKey(key(partition)).setSequenceNumber(number);
  }

  private CommitCheckpointResponse commit(CommitCheckpointRequest.Builder request) {
    return gateway(CALL).commitCheckpoint(request.build());
  }

  private List<BatchGetCheckpointsResult> batchGet(String... partitions) throws Mismatch {
    var request = BatchGetCheckpointsRequest.newBuilder()
        .addAllKeys(Arrays.stream(partitions).map(this::key).toList())
        .setReadMode(ReadMode.READ_MODE_FRESH)
        .build();
    var results = gateway(CALL).batchGetCheckpoints(request).getResultsList();
    expectEqual("number of results", results.size(), partitions.length);
    return results;
  }

  private ListCheckpointsResponse page(String token) {
    return gateway(CALL).listCheckpoints(ListCheckpointsRequest.newBuilder()
        .setStreamName(stream)
        .setAppName(app)
        .setPageSize(3)
        .setPageToken(token)
        .build());
  }
}
