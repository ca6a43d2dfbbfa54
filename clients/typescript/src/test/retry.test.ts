import assert from "node:assert/strict";
import { test } from "node:test";

import type { CallSettings } from "../gateway.js";
import { type Clock, retry, RetryError, type RetryOptions } from "../retry.js";
import { errorOf, type Said } from "./errors.js";

/** Time passes only by sleeping. */
class FakeClock implements Clock {
  time = 0;
  /** When `stop` comes. */
  stopAt = Infinity;
  readonly stop = new AbortController();

  now(): number {
    return this.time;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const woken = signal && this.stopAt < this.time + ms;
    this.pass(woken ? this.stopAt - this.time : ms);
  }

  pass(ms: number): void {
    this.time += ms;
    if (this.time >= this.stopAt) {
      this.stop.abort();
    }
  }
}

/** How an operation ends whose every call takes `callMs` and fails with the next of `errors`, the last for ever. */
async function run(clock: FakeClock, errors: Said[], options: RetryOptions = {}, callMs = 0) {
  const calls: { at: number; settings: CallSettings }[] = [];
  const call = async (settings: CallSettings): Promise<string> => {
    calls.push({ at: clock.time, settings });
    clock.pass(Math.min(callMs, settings.timeoutMs!));
    const said = errors[Math.min(calls.length, errors.length) - 1]!;
    if (said.code === "OK") {
      return "done";
    }
    throw errorOf(said);
  };
  const all = { clock, stop: clock.stop.signal, ...options };
  const ended: unknown = await retry(call, all).catch((error: unknown) => error);
  return { ended, calls, error: ended as RetryError };
}

const UNAVAILABLE: Said = { code: "UNAVAILABLE" };
const THROTTLED: Said = { code: "RESOURCE_EXHAUSTED", reason: "UPSTREAM_THROTTLED", retry_delay_seconds: 4 };
const UNKNOWN: Said = { code: "UNAVAILABLE", reason: "COMMIT_OUTCOME_UNKNOWN" };
const REGRESSION: Said = { code: "FAILED_PRECONDITION", reason: "CHECKPOINT_REGRESSION" };
const OK: Said = { code: "OK" };

test("an answer ends it", async () => {
  const { ended, calls } = await run(new FakeClock(), [UNAVAILABLE, OK]);
  assert.equal(ended, "done");
  assert.equal(calls.length, 2);
  assert.equal(calls[0]!.settings.timeoutMs, 5000);
});

test("backoff doubles from 0.25 s to 2 s, with jitter, within 20 s", async () => {
  const { calls, error } = await run(new FakeClock(), [UNAVAILABLE]);
  const waits = calls.slice(1).map(({ at }, index) => at - calls[index]!.at);
  for (const [index, wait] of waits.entries()) {
    const backoff = Math.min(250 * 2 ** index, 2000);
    assert.ok(wait >= 0.8 * backoff && wait <= 1.2 * backoff, `wait ${index} is ${wait} ms`);
  }
  assert.ok(waits.length >= 9);
  assert.ok(calls.at(-1)!.at < 20_000);
  assert.ok(error instanceof RetryError);
});

test("the last call has what is left", async () => {
  const clock = new FakeClock();
  const { calls } = await run(clock, [THROTTLED], {}, 5000);
  assert.deepEqual(calls.map(({ at }) => at), [0, 9000, 18_000]);
  assert.deepEqual(calls.map(({ settings }) => settings.timeoutMs), [5000, 5000, 2000]);
  assert.equal(clock.time, 20_000);
});

test("RetryInfo is what it waits; of 0, a quarter of a second", async () => {
  const none = { ...THROTTLED, retry_delay_seconds: 0 };
  const { calls } = await run(new FakeClock(), [THROTTLED, none, OK]);
  assert.deepEqual(calls.map(({ at }) => at), [0, 4000, 4250]);
});

test("a RetryInfo past the deadline ends it at once", async () => {
  const clock = new FakeClock();
  const { error } = await run(clock, [{ ...THROTTLED, retry_delay_seconds: 20 }]);
  assert.ok(error instanceof RetryError);
  assert.equal(clock.time, 0);
});

test("what is not retryable ends it, and other errors pass", async () => {
  const { calls, error } = await run(new FakeClock(), [REGRESSION]);
  assert.equal(calls.length, 1);
  assert.equal(error.failure.reason, "CHECKPOINT_REGRESSION");
  const wrong = new TypeError("a defect");
  await assert.rejects(retry(() => Promise.reject(wrong)), wrong);
});

test("the error says whether the commit may be stored", async () => {
  const commit = { commit: true };
  const refused = await run(new FakeClock(), [THROTTLED, REGRESSION], commit);
  assert.equal(refused.error.outcomeUnknown, false);
  assert.match(refused.error.message, /^FAILED_PRECONDITION CHECKPOINT_REGRESSION: .*; it is not committed$/);
  const unknown = await run(new FakeClock(), [UNKNOWN, THROTTLED, REGRESSION], commit);
  assert.equal(unknown.error.outcomeUnknown, true);
  assert.match(unknown.error.message, /; it may be committed$/);
  const read = await run(new FakeClock(), [REGRESSION]);
  assert.doesNotMatch(read.error.message, /committed$/);
});

test("a stop ends a read while it sleeps", async () => {
  const clock = new FakeClock();
  clock.stopAt = 1000;
  const { ended, calls } = await run(clock, [THROTTLED]);
  assert.equal(ended, clock.stop.signal.reason);
  assert.equal(clock.time, 1000);
  assert.equal(calls[0]!.settings.signal, clock.stop.signal);
});

test("a stop ends a read that is under way, and one that has not begun", async () => {
  const clock = new FakeClock();
  clock.stopAt = 100;
  const { ended } = await run(clock, [{ code: "CANCELLED" }], {}, 100);
  assert.equal(ended, clock.stop.signal.reason);
  const later = await run(clock, [OK]);
  assert.equal(later.ended, clock.stop.signal.reason);
  assert.equal(later.calls.length, 0);
});

test("a stop leaves a commit 10 s", async () => {
  const clock = new FakeClock();
  clock.stopAt = 3000;
  const { calls, error } = await run(clock, [{ ...THROTTLED, retry_delay_seconds: 1 }], { commit: true }, 1000);
  assert.ok(error instanceof RetryError);
  assert.equal(calls[0]!.settings.signal, undefined);
  assert.ok(calls.some(({ at }) => at > 3000));
  assert.ok(clock.time > 10_000 && clock.time <= 13_000, `it ended at ${clock.time}`);
});

test("a stop ends a commit's sleep that would go past those", async () => {
  const clock = new FakeClock();
  clock.stopAt = 1000;
  const { error } = await run(clock, [{ ...THROTTLED, retry_delay_seconds: 12 }], { commit: true });
  assert.ok(error instanceof RetryError);
  assert.equal(clock.time, 1000);
});

test("a stop leaves a commit's sleep that ends in time as it is", async () => {
  const clock = new FakeClock();
  clock.stopAt = 1000;
  const { ended, calls } = await run(clock, [THROTTLED, OK], { commit: true });
  assert.equal(ended, "done");
  assert.deepEqual(calls.map(({ at }) => at), [0, 4000]);
});
