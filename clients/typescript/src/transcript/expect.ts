/** What must be so, said where it is not. */
import { isDeepStrictEqual } from "node:util";

import { status as Code } from "@grpc/grpc-js";

import { type Failure, failureOf, isServiceError } from "../errors.js";
import {
  type CommitCheckpointResponse,
  CommitResult,
  type GetCheckpointResponse,
} from "../gen/disgateway/v1/checkpoint.js";
import type { Status } from "../gen/google/rpc/status.js";

/** What came back is not what must come back. */
export class Differs extends Error {}

export function equal<T>(what: string, found: T, wanted: T): void {
  if (!isDeepStrictEqual(found, wanted)) {
    throw new Differs(`${what} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
  }
}

/** Exactly this commit is stored. */
export function committed(answer: CommitCheckpointResponse, number: string): void {
  equal("result", answer.result, CommitResult.COMMIT_RESULT_COMMITTED);
  equal("effective number", answer.effective?.sequenceNumber, number);
}

/** There is such a checkpoint. */
export function found(answer: GetCheckpointResponse, number: string, metadata = ""): void {
  equal("found", answer.found, true);
  equal("number", answer.checkpoint?.sequenceNumber, number);
  equal("metadata", answer.checkpoint?.metadata, metadata);
}

/** There is no checkpoint, and that is no error. */
export function notFound(answer: GetCheckpointResponse): void {
  equal("found", answer.found, false);
  equal("checkpoint", answer.checkpoint, undefined);
}

type Result<T> = { $case: "response"; value: T } | { $case: "status"; value: Status } | undefined;

/** The response of one element of a batch or stream. */
export function responseOf<T>(one: { result?: Result<T> } | undefined): T {
  if (one?.result?.$case !== "response") {
    throw new Differs(`the result is ${JSON.stringify(one?.result)}, not a response`);
  }
  return one.result.value;
}

/** The status of one element of a batch or stream. */
export function statusOf<T>(one: { result?: Result<T> } | undefined): Status {
  if (one?.result?.$case !== "status") {
    throw new Differs(`the result is ${JSON.stringify(one?.result)}, not a status`);
  }
  return one.result.value;
}

/** How a call fails that must fail. */
export async function failure(call: Promise<unknown>): Promise<Failure> {
  try {
    await call;
  } catch (error) {
    if (isServiceError(error)) {
      return failureOf(error);
    }
    throw error;
  }
  throw new Differs("it succeeded, and must fail");
}

/** It says all this. Metadata may hold more, the fields that are wrong may not. */
export function fails(
  said: Failure,
  wanted: { code: Code; reason: string; metadata?: Record<string, string>; field?: string; retry?: boolean },
): void {
  equal("code", Code[said.code], Code[wanted.code]);
  equal("reason", said.reason, wanted.reason);
  for (const [name, value] of Object.entries(wanted.metadata ?? {})) {
    equal(`metadata ${name}`, said.metadata[name], value);
  }
  equal("fields", Object.keys(said.fields), wanted.field === undefined ? [] : [wanted.field]);
  equal("a RetryInfo above 0", (said.retryAfterMs ?? 0) > 0, wanted.retry ?? false);
}
