/** Checks of what comes back. */
import { isDeepStrictEqual } from "node:util";

import { status as Code } from "@grpc/grpc-js";

import { Failure, isServiceError } from "../failure.js";
import {
  type CommitCheckpointResponse,
  CommitResult,
  type GetCheckpointResponse,
} from "../gen/disgateway/v1/checkpoint.js";
import type { Status } from "../gen/google/rpc/status.js";

/** What came back is not what must come back. */
export class Mismatch extends Error {}

export function equal<T>(what: string, found: T, wanted: T): void {
  if (!isDeepStrictEqual(found, wanted)) {
    throw new Mismatch(`${what} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
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
    throw new Mismatch(`the result is ${JSON.stringify(one?.result)}, not a response`);
  }
  return one.result.value;
}

/** The status of one element of a batch or stream. */
export function statusOf<T>(one: { result?: Result<T> } | undefined): Status {
  if (one?.result?.$case !== "status") {
    throw new Mismatch(`the result is ${JSON.stringify(one?.result)}, not a status`);
  }
  return one.result.value;
}

/** How a call fails that must fail. */
export async function failure(call: Promise<unknown>): Promise<Failure> {
  try {
    await call;
  } catch (error) {
    if (isServiceError(error)) {
      return Failure.fromError(error);
    }
    throw error;
  }
  throw new Mismatch("it succeeded, and must fail");
}

export interface ExpectedError {
  code: Code;
  reason: string;
  /** There may be more. */
  metadata?: Record<string, string>;
  /** The one field that is wrong; undefined: none is. */
  field?: string;
  /** Whether there is a RetryInfo, with a delay above 0. */
  retry?: boolean;
}

export function fails(said: Failure, wanted: ExpectedError): void {
  equal("code", Code[said.code], Code[wanted.code]);
  equal("reason", said.reason, wanted.reason);
  for (const [name, value] of Object.entries(wanted.metadata ?? {})) {
    equal(`metadata ${name}`, said.metadata[name], value);
  }
  fields(said, wanted.field === undefined ? [] : [wanted.field]);
  equal("whether there is a RetryInfo", said.retryDelayMs !== undefined, wanted.retry ?? false);
  if (wanted.retry) {
    equal("whether its delay is above 0", (said.retryDelayMs ?? 0) > 0, true);
  }
}

/** Exactly these fields are wrong. */
export function fields(said: Failure, wanted: string[]): void {
  const found = said.fieldViolations.map(({ field }) => field);
  equal("fields", found, wanted);
}
