/**
 * What a program that reads one partition of a DIS stream looks like with the gateway: it resumes after its checkpoint,
 * processes, commits after so many records or a second, and upon SIGTERM finishes with a last commit. The records are
 * simulated: `node dist/example/consumer.js --stream orders --app billing`
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { credentials } from "@grpc/grpc-js";

import { unary } from "../call.js";
import { describe, failureOf, isRetryable, isServiceError } from "../errors.js";
import { CheckpointServiceClient, CommitCheckpointRequest, GetCheckpointRequest, ReadMode } from "../gen/disgateway/v1/checkpoint.js";

const PATIENCE_MS = 25_000; // on top of the service config's retries; less than the 30 s that Kubernetes leaves
const { values } = parseArgs({
  options: {
    target: { type: "string", default: "127.0.0.1:50551" },
    stream: { type: "string", default: "orders" },
    app: { type: "string", default: "billing" },
    partition: { type: "string", default: "0" },
    "commit-every": { type: "string", default: "10" },
    "interval-ms": { type: "string", default: "100" },
  },
});

/** Calls until there is an answer that stands. A commit whose outcome is unknown is sent again: that is safe. */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isServiceError(error) || !isRetryable(failureOf(error)) || Date.now() >= until) {
        throw error;
      }
      console.log(`trying again: ${describe(failureOf(error))}`);
      await sleep(failureOf(error).retryAfterMs ?? 250);
    }
  }
}

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => stop.abort());
}

/** Stands for a DIS cursor of type AFTER_SEQUENCE_NUMBER (TRIM_HORIZON where there is no checkpoint). */
async function* records(after: bigint): AsyncGenerator<bigint> {
  while (await sleep(Number(values["interval-ms"]), true, { signal: stop.signal }).catch(() => false)) {
    yield ++after;
  }
}

async function consume(gateway: CheckpointServiceClient): Promise<void> {
  const key = { streamName: values.stream, appName: values.app, partitionId: values.partition };
  // Fresh, as whoever had the partition before may have committed through another gateway. An error never means that
  // there is no checkpoint: starting over upon one would repeat the whole stream.
  const read = GetCheckpointRequest.fromPartial({ key, readMode: ReadMode.READ_MODE_FRESH });
  const { checkpoint } = await patiently(() => unary(gateway, gateway.getCheckpoint, read));
  let last = BigInt(checkpoint?.sequenceNumber ?? "-1"); // 64 bits: more than a number of JavaScript has
  console.log(checkpoint ? `resuming after ${last}` : "no checkpoint: starting at the oldest record");

  let processed = 0;
  let uncommitted = 0;
  let committedAt = Date.now();
  const commit = async (): Promise<void> => {
    const request = CommitCheckpointRequest.fromPartial({ key, sequenceNumber: String(last) }); // the LAST finished one
    await patiently(() => unary(gateway, gateway.commitCheckpoint, request));
    console.log(`committed ${last}`);
    uncommitted = 0;
    committedAt = Date.now();
  };
  for await (last of records(last)) {
    // Here a real consumer works on the record, and goes on when it has finished.
    processed++;
    uncommitted++;
    if (uncommitted >= Number(values["commit-every"]) || Date.now() - committedAt >= 1000) {
      await commit();
    }
  }
  if (uncommitted > 0) {
    await commit();
  }
  console.log(`processed ${processed} records`);
}

const gateway = new CheckpointServiceClient(values.target, credentials.createInsecure(), {
  "grpc.service_config": readFileSync(new URL("../../service-config.json", import.meta.url), "utf8"),
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1000, // a sidecar is back within seconds
});
try {
  await consume(gateway);
} catch (error) {
  console.error(`stopped: ${isServiceError(error) ? describe(failureOf(error)) : error}`); // the next start reads what stands
  process.exitCode = 1;
} finally {
  gateway.close();
}
