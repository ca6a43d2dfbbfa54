import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { Server, ServerCredentials, type ServiceError, type UntypedHandleCall } from "@grpc/grpc-js";

import { Failure } from "../failure.js";
import { connect, parseSequenceNumber } from "../gateway.js";
import { CheckpointServiceService } from "../gen/disgateway/v1/checkpoint.js";
import { retry } from "../retry.js";
import { errorOf } from "./errors.js";

const folder = mkdtempSync(join(tmpdir(), "gateway-"));
after(() => rmSync(folder, { recursive: true }));

/** A gateway whose commits fail, each attempt counted. */
async function serve(address: string, error: ServiceError) {
  const server = new Server();
  const seen = { commits: 0 };
  const unused: UntypedHandleCall = () => {};
  const handlers = Object.fromEntries(Object.keys(CheckpointServiceService).map((name) => [name, unused]));
  handlers.commitCheckpoint = (_: unknown, callback: (error: ServiceError) => void) => {
    seen.commits++;
    callback(error);
  };
  server.addService(CheckpointServiceService, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, port: number) => (error ? reject(error) : resolve(port));
    server.bindAsync(address, ServerCredentials.createInsecure(), bound);
  });
  return { server, port, seen };
}

test("an error comes with its details, over http_proxy, and after one attempt", async () => {
  process.env.http_proxy = "http://127.0.0.1:9";
  const metadata = { dis_error_code: "DIS.5000" };
  const error = errorOf({ code: "UNAVAILABLE", reason: "UPSTREAM_UNAVAILABLE", metadata, retry_delay_seconds: 0.5 });
  const { server, port, seen } = await serve("127.0.0.1:0", error);
  const gateway = connect(`127.0.0.1:${port}`);
  try {
    await assert.rejects(gateway.commitCheckpoint({ sequenceNumber: "1" }), (error: ServiceError) => {
      const failure = Failure.fromError(error);
      assert.equal(failure.reason, "UPSTREAM_UNAVAILABLE");
      assert.deepEqual(failure.metadata, metadata);
      assert.equal(failure.retryDelayMs, 500);
      return true;
    });
    assert.equal(seen.commits, 1);
  } finally {
    gateway.close();
    server.forceShutdown();
    delete process.env.http_proxy;
  }
});

test("a stop cancels a call that waits for a gateway", async () => {
  const gateway = connect(`unix://${folder}/absent.sock`);
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 100);
  const began = performance.now();
  const read = retry((settings) => gateway.getCheckpoint({}, settings), { stop: stop.signal });
  await assert.rejects(read, (error) => error === stop.signal.reason);
  assert.ok(performance.now() - began < 2000);
  gateway.close();
});

test("a sequence number is digits", () => {
  assert.equal(parseSequenceNumber("9223372036854775807"), 9223372036854775807n);
  for (const text of [undefined, "", " ", "-1", "1.5", "0x10", "1\n", "١"]) {
    assert.throws(() => parseSequenceNumber(text), /is no sequence number/);
  }
});
