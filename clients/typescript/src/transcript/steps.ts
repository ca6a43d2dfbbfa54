/** The steps of TRANSCRIPT.md, in its order. */
import { credentials, status as Code } from "@grpc/grpc-js";

import { CHECKPOINT_REGRESSION, COMMIT_OUTCOME_UNKNOWN, CONSUMER_FENCED, Failure } from "../failure.js";
import { Gateway, waitForReady } from "../gateway.js";
import {
  type BatchGetCheckpointsResult,
  CheckpointKey,
  CheckpointServiceClient,
  CheckpointSource,
  type CommitCheckpointRequest,
  type CommitCheckpointResponse,
  CommitResult,
  type GetCheckpointResponse,
  type PartitionState,
  ReadMode,
  StreamCommitsRequest,
  type StreamCommitsResponse,
  WatchCheckpointsRequest,
  type WatchCheckpointsResponse,
} from "../gen/disgateway/v1/checkpoint.js";
import { EmulatorControl } from "./emulator.js";
import { committed, equal, fails, failure, fields, found, Mismatch, notFound, responseOf, statusOf } from "./expect.js";

const TIMEOUT_MS = 10_000;
const STREAM_TIMEOUT_MS = 60_000;
const SETTINGS = { timeoutMs: TIMEOUT_MS };
const SNAKE = "\u{1F40D}"; // one character, two units of a string

const long = (partition: number): string => `shardId-${String(partition).padStart(10, "0")}`;

/** What a list says of one partition. */
const standing = ({ checkpoint, found, status }: PartitionState): object => ({
  partition: checkpoint?.key?.partitionId,
  found,
  number: checkpoint?.sequenceNumber,
  status,
});
const active = (partition: number, number: string): object => ({
  partition: long(partition),
  found: true,
  number,
  status: "ACTIVE",
});

export class Conversation {
  private gateway: Gateway;

  constructor(
    private readonly target: string,
    private readonly emulator: EmulatorControl,
    private readonly stream: string,
    private readonly app: string,
  ) {
    this.gateway = this.connect();
  }

  readonly steps: [string, () => Promise<void>][] = [
    ["get nothing", () => this.getNothing()],
    ["commit", () => this.commitFirst()],
    ["read back by the other spelling", () => this.readBack()],
    ["regression refused", () => this.regress()],
    ["rewind", () => this.rewind()],
    ["metadata with astral characters", () => this.astral()],
    ["invalid field", () => this.invalid()],
    ["batch with one failing item", () => this.batch()],
    ["stream of 1,000 commits", () => this.manyCommits()],
    ["watch sees a change", () => this.watch()],
    ["list with lag", () => this.list()],
    ["delete", () => this.deleteOne()],
    ["deadline passes", () => this.deadline()],
    ["upstream outage", () => this.outage()],
    ["lost answer", () => this.lostAnswer()],
    ["fenced consumer", () => this.fenced()],
    ["resume after reconnecting", () => this.resume()],
  ];

  close(): void {
    this.gateway.close();
  }

  private async getNothing(): Promise<void> {
    const answer = await this.fresh("0");
    notFound(answer);
    equal("source", answer.source, CheckpointSource.CHECKPOINT_SOURCE_UPSTREAM);
  }

  private async commitFirst(): Promise<void> {
    const answer = await this.commit("0", "41", { metadata: "first" });
    committed(answer, "41");
    equal("metadata", answer.effective?.metadata, "first");
    equal("key", answer.effective?.key, {
      streamName: this.stream,
      appName: this.app,
      partitionId: long(0),
      checkpointType: "LAST_READ",
    });
  }

  private async readBack(): Promise<void> {
    let answer = await this.get(long(0));
    found(answer, "41", "first");
    equal("partition", answer.checkpoint?.key?.partitionId, long(0));
    equal("checkpoint type", answer.checkpoint?.key?.checkpointType, "LAST_READ");
    answer = await this.fresh("0");
    found(answer, "41", "first");
    equal("source", answer.source, CheckpointSource.CHECKPOINT_SOURCE_UPSTREAM);
    equal("partition", answer.checkpoint?.key?.partitionId, long(0));
  }

  private async regress(): Promise<void> {
    fails(await failure(this.commit("0", "9")), {
      code: Code.FAILED_PRECONDITION,
      reason: CHECKPOINT_REGRESSION,
      metadata: { effective_sequence_number: "41" },
    });
  }

  private async rewind(): Promise<void> {
    const answer = await this.commit("0", "9", { allowRewind: true });
    committed(answer, "9");
    equal("metadata", answer.effective?.metadata, "");
    found(await this.fresh("0"), "9");
  }

  private async astral(): Promise<void> {
    const thousand = SNAKE.repeat(1000); // 4,000 bytes, 1,000 characters, a length of 2,000
    committed(await this.commit("0", "10", { metadata: thousand }), "10");
    found(await this.fresh("0"), "10", thousand);
    const refused = await failure(this.commit("0", "11", { metadata: thousand + SNAKE }));
    fails(refused, { code: Code.INVALID_ARGUMENT, reason: "FIELD_INVALID", field: "metadata" });
  }

  private async invalid(): Promise<void> {
    const wanted = { code: Code.INVALID_ARGUMENT, reason: "FIELD_INVALID" };
    fails(await failure(this.commit("0", "1.5")), { ...wanted, field: "sequence_number" });
    fails(await failure(this.get("shardId-7")), { ...wanted, field: "key.partition_id" });
  }

  private async batch(): Promise<void> {
    const pairs = [["1", "20"], ["0", "5"], ["3", "30"]] as const;
    const commits = pairs.map(([partition, sequenceNumber]) => ({ key: this.key(partition), sequenceNumber }));
    const { results } = await this.gateway.batchCommitCheckpoints({ commits }, SETTINGS);
    equal("number of results", results.length, 3);
    committed(responseOf(results[0]), "20");
    equal("partition", responseOf(results[0]).effective?.key?.partitionId, long(1));
    fails(Failure.fromStatus(statusOf(results[1])), {
      code: Code.FAILED_PRECONDITION,
      reason: CHECKPOINT_REGRESSION,
      metadata: { effective_sequence_number: "10" },
    });
    committed(responseOf(results[2]), "30");
    equal("partition", responseOf(results[2]).effective?.key?.partitionId, long(3));

    const reads = await this.batchGet("3", "2", "nonsense");
    found(responseOf(reads[0]), "30");
    equal("partition", responseOf(reads[0]).checkpoint?.key?.partitionId, long(3));
    notFound(responseOf(reads[1]));
    const wanted = { code: Code.INVALID_ARGUMENT, reason: "FIELD_INVALID", field: "keys[2].partition_id" };
    fails(Failure.fromStatus(statusOf(reads[2])), wanted);
  }

  private async manyCommits(): Promise<void> {
    const call = this.gateway.client.streamCommits(waitForReady(), { deadline: Date.now() + STREAM_TIMEOUT_MS });
    const send = async (): Promise<void> => {
      for (let id = 1; id <= 1000; id++) {
        const commit = { key: this.key(String(id % 4)), sequenceNumber: String(1000 + id) };
        if (!call.write(StreamCommitsRequest.fromPartial({ id: String(id), commit }))) {
          await new Promise((resolve) => call.once("drain", resolve)); // the gateway holds the sender back
        }
      }
      call.end(); // half-close
    };
    const sent = send();
    const answered = new Set<number>();
    for await (const answer of call as AsyncIterable<StreamCommitsResponse>) {
      const id = Number(answer.id);
      equal(`whether ${answer.id} was sent`, Number.isInteger(id) && id >= 1 && id <= 1000, true);
      equal(`whether ${id} is answered twice`, answered.has(id), false);
      answered.add(id);
      const { result, effective } = responseOf(answer);
      const stored = [CommitResult.COMMIT_RESULT_COMMITTED, CommitResult.COMMIT_RESULT_SUPERSEDED].includes(result);
      equal(`whether ${id} is stored`, stored, true);
      equal("partition", effective?.key?.partitionId, long(id % 4));
      // Numbers have up to 64 bits, and are compared as such.
      equal("at least its own number", BigInt(effective?.sequenceNumber ?? "0") >= BigInt(1000 + id), true);
    }
    await sent;
    equal("number of answers", answered.size, 1000);
    const reads = await this.batchGet("0", "1", "2", "3");
    ["2000", "1997", "1998", "1999"].forEach((number, index) => found(responseOf(reads[index]), number));
  }

  private async watch(): Promise<void> {
    const request = WatchCheckpointsRequest.fromPartial({ keys: [this.key("2")] });
    const options = { deadline: Date.now() + STREAM_TIMEOUT_MS };
    const call = this.gateway.client.watchCheckpoints(request, waitForReady(), options);
    call.on("error", () => {}); // that it was cancelled
    const changes = (call as AsyncIterable<WatchCheckpointsResponse>)[Symbol.asyncIterator]();
    const seen = async (number: string, metadata: string): Promise<void> => {
      const { value, done } = await changes.next();
      if (done) {
        throw new Mismatch("the stream has ended");
      }
      equal("found", value.found, true);
      equal("partition", value.key?.partitionId, long(2));
      equal("number", value.checkpoint?.sequenceNumber, number);
      equal("metadata", value.checkpoint?.metadata, metadata);
    };
    try {
      await seen("1998", "");
      committed(await this.commit("2", "2100", { metadata: "watched" }), "2100");
      await seen("2100", "watched");
    } finally {
      call.cancel();
    }
  }

  private async list(): Promise<void> {
    const offsets = { stream: this.stream, partition: "2", earliest: 1000, latest: 2150 };
    await this.emulator.call("PUT", "offsets", offsets);
    const request = { streamName: this.stream, appName: this.app, pageSize: 3 };
    let page = await this.gateway.listCheckpoints(request, SETTINGS);
    equal("partitions", page.partitions.map(standing), [active(0, "2000"), active(1, "1997"), active(2, "2100")]);
    const third = page.partitions[2];
    equal("earliest", third?.earliestSequenceNumber, "1000");
    equal("latest", third?.latestSequenceNumber, "2150");
    equal("lag", third?.lag, "50");
    equal("whether there is a token", page.nextPageToken !== "", true);
    page = await this.gateway.listCheckpoints({ ...request, pageToken: page.nextPageToken }, SETTINGS);
    equal("partitions", page.partitions.map(standing), [active(3, "1999")]);
    equal("token", page.nextPageToken, "");
  }

  private async deleteOne(): Promise<void> {
    await this.gateway.deleteCheckpoint({ key: this.key("3") }, SETTINGS);
    notFound(await this.fresh("3"));
    await this.gateway.deleteCheckpoint({ key: this.key("3") }, SETTINGS);
  }

  private async deadline(): Promise<void> {
    await this.emulator.fault({ kind: "hold", method: "GET", times: 0 });
    const began = Date.now();
    const failed = await failure(this.fresh("0", 500));
    equal("within 3 seconds", Date.now() - began < 3000, true);
    equal("code", failed.code, Code.DEADLINE_EXCEEDED);
    equal("a known reason", ["", "UPSTREAM_TOO_SLOW"].includes(failed.reason), true);
    await this.emulator.clear();
    await this.emulator.call("POST", "release");
    found(await this.fresh("0"), "2000");
  }

  private async outage(): Promise<void> {
    await this.emulator.fault({ kind: "error", method: "GET", times: 0, code: "DIS.5000" });
    const failed = await failure(this.fresh("0"));
    await this.emulator.clear();
    fails(failed, {
      code: Code.UNAVAILABLE,
      reason: "UPSTREAM_UNAVAILABLE",
      metadata: { dis_error_code: "DIS.5000", http_status: "500" },
      retry: true,
    });
    found(await this.fresh("0"), "2000");
  }

  private async lostAnswer(): Promise<void> {
    await this.emulator.fault({ kind: "cut_after", method: "POST", times: 1 });
    const failed = await failure(this.commit("0", "2200"));
    equal("code", failed.code, Code.UNAVAILABLE);
    equal("reason", failed.reason, COMMIT_OUTCOME_UNKNOWN);
    fields(failed, []);
    committed(await this.commit("0", "2200"), "2200");
  }

  private async fenced(): Promise<void> {
    await this.emulator.fault({ kind: "error", method: "POST", times: 1, code: "DIS.4702" });
    fails(await failure(this.commit("0", "2300", { clientId: "consumer-1", generationId: "7" })), {
      code: Code.FAILED_PRECONDITION,
      reason: CONSUMER_FENCED,
      metadata: { dis_error_code: "DIS.4702", http_status: "400" },
    });
  }

  private async resume(): Promise<void> {
    this.gateway.close();
    this.gateway = this.connect();
    const answer = await this.fresh("0");
    found(answer, "2200");
    equal("source", answer.source, CheckpointSource.CHECKPOINT_SOURCE_UPSTREAM);
    committed(await this.commit("0", "2201"), "2201");
  }

  private connect(): Gateway {
    // No service config: each error is looked at, and the deadlines are those of the transcript.
    const options = { "grpc.enable_retries": 0, "grpc.enable_http_proxy": 0 };
    return new Gateway(new CheckpointServiceClient(this.target, credentials.createInsecure(), options));
  }

  private key(partitionId: string): CheckpointKey {
    return CheckpointKey.fromPartial({ streamName: this.stream, appName: this.app, partitionId });
  }

  private get(
    partition: string,
    readMode = ReadMode.READ_MODE_UNSPECIFIED,
    timeoutMs = TIMEOUT_MS,
  ): Promise<GetCheckpointResponse> {
    return this.gateway.getCheckpoint({ key: this.key(partition), readMode }, { timeoutMs });
  }

  /** Reads from DIS itself. */
  private fresh(partition: string, timeoutMs = TIMEOUT_MS): Promise<GetCheckpointResponse> {
    return this.get(partition, ReadMode.READ_MODE_FRESH, timeoutMs);
  }

  private commit(
    partition: string,
    sequenceNumber: string,
    fields: Partial<CommitCheckpointRequest> = {},
  ): Promise<CommitCheckpointResponse> {
    return this.gateway.commitCheckpoint({ key: this.key(partition), sequenceNumber, ...fields }, SETTINGS);
  }

  private async batchGet(...partitions: string[]): Promise<BatchGetCheckpointsResult[]> {
    const keys = partitions.map((partition) => this.key(partition));
    const request = { keys, readMode: ReadMode.READ_MODE_FRESH };
    const { results } = await this.gateway.batchGetCheckpoints(request, SETTINGS);
    equal("number of results", results.length, partitions.length);
    return results;
  }
}
