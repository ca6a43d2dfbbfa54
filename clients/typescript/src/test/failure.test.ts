import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { status as Code } from "@grpc/grpc-js";

import { Failure } from "../failure.js";
import { Status } from "../gen/google/rpc/status.js";
import { errorOf, type Said, statusOf } from "./errors.js";

interface Case extends Said {
  name: string;
  retryable: boolean;
  outcome_unknown: boolean;
}

const table = readFileSync(new URL("../../../failures.json", import.meta.url), "utf8");
const { cases } = JSON.parse(table) as { cases: Case[] };
for (const one of cases) {
  test(one.name, () => {
    for (const failure of [Failure.fromError(errorOf(one)), Failure.fromStatus(statusOf(one))]) {
      assert.equal(failure.code, Code[one.code]);
      assert.equal(failure.message, "what went wrong");
      assert.equal(failure.reason, one.reason ?? "");
      const delay = one.retry_delay_seconds;
      assert.equal(failure.retryDelayMs, delay === undefined ? undefined : delay * 1000);
      const violations = one.field === undefined ? [] : [{ field: one.field, description: "is wrong" }];
      assert.deepEqual(failure.fieldViolations, violations);
      assert.equal(failure.retryable, one.retryable, "retryable");
      assert.equal(failure.outcomeUnknown, one.outcome_unknown, "outcomeUnknown");
    }
  });
}

test("a call that its caller cancelled is not to be sent again", () => {
  const failure = Failure.fromError(errorOf({ code: "CANCELLED" }), true);
  assert.equal(failure.retryable, false);
  assert.equal(failure.outcomeUnknown, true);
});

test("a reason of somebody else is none", () => {
  const failure = Failure.fromError(errorOf({ code: "UNAVAILABLE", reason: "ASLEEP", domain: "example.org" }));
  assert.equal(failure.reason, "");
  assert.equal(failure.retryable, true);
});

test("details that cannot be decoded, or are another error's, leave code and message", () => {
  const other = Buffer.from(Status.encode(statusOf({ code: "ABORTED", reason: "CONSUMER_FENCED" })).finish());
  const inner = statusOf({ code: "UNAVAILABLE", reason: "GATEWAY_DRAINING", retry_delay_seconds: 1 });
  inner.details[1]!.value = Buffer.from([0x0a, 0xff]);
  for (const packed of [Buffer.from([0xff]), other, Buffer.from(Status.encode(inner).finish())]) {
    const failure = Failure.fromError(errorOf({ code: "UNAVAILABLE" }, packed));
    assert.equal(failure.code, Code.UNAVAILABLE);
    assert.equal(failure.message, "what went wrong");
    assert.equal(failure.reason, "");
    assert.equal(failure.retryDelayMs, undefined);
    assert.equal(failure.retryable, true);
  }
});

test("OK has no unknown outcome", () => {
  assert.equal(Failure.fromStatus({ code: Code.OK, message: "", details: [] }).outcomeUnknown, false);
});

test("one line for the log", () => {
  const metadata = { dis_error_code: "DIS.4702", dis_request_id: "r1", http_status: "400" };
  const fenced = Failure.fromError(errorOf({ code: "FAILED_PRECONDITION", reason: "CONSUMER_FENCED", metadata }));
  const line = "FAILED_PRECONDITION CONSUMER_FENCED: what went wrong (dis_error_code DIS.4702) (dis_request_id r1)";
  assert.equal(String(fenced), line);
  assert.equal(String(Failure.fromStatus({ code: 14, message: "two\nlines", details: [] })), "UNAVAILABLE: two lines");
});
