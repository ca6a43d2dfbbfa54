/**
 * Reads the status details that every error of the gateway carries.
 *
 * A program decides by the reason. The status code says what kind of failure it is, and the message is for people.
 */
import { type ServiceError, status as Code } from "@grpc/grpc-js";

import { BadRequest, ErrorInfo, RetryInfo } from "./gen/google/rpc/error_details.js";
import { Status } from "./gen/google/rpc/status.js";

/** The ErrorInfo domain of the gateway's own reasons. */
export const DOMAIN = "disgateway.v1";
/** DIS has a higher number: `metadata[EFFECTIVE_SEQUENCE_NUMBER]`. */
export const CHECKPOINT_REGRESSION = "CHECKPOINT_REGRESSION";
export const EFFECTIVE_SEQUENCE_NUMBER = "effective_sequence_number";
/** Another consumer has taken over this partition. */
export const CONSUMER_FENCED = "CONSUMER_FENCED";
/** The commit may be stored or not. Committing the same number again is safe. */
export const COMMIT_OUTCOME_UNKNOWN = "COMMIT_OUTCOME_UNKNOWN";

/** Everything that an error says. */
export interface Failure {
  code: Code;
  message: string;
  /** Empty where the error is not the gateway's own: the connection broke, or the caller's deadline has passed. */
  reason: string;
  /** `dis_error_code`, `dis_request_id` and `http_status` where DIS has answered with an error. */
  metadata: Record<string, string>;
  /** Milliseconds to wait before the same call again; undefined where the gateway did not say. */
  retryAfterMs?: number;
  /** The fields of the request that are wrong, and what is wrong with each. */
  fields: Record<string, string>;
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

/** What the error of a call says. */
export function failureOf(error: ServiceError): Failure {
  const packed = error.metadata?.get("grpc-status-details-bin")[0];
  if (packed instanceof Buffer) {
    return failureIn(Status.decode(packed));
  }
  return { code: error.code, message: error.details, reason: "", metadata: {}, fields: {} };
}

/** What the status of one element of a batch or stream says. */
export function failureIn(status: Status): Failure {
  const failure: Failure = { code: status.code, message: status.message, reason: "", metadata: {}, fields: {} };
  for (const detail of status.details) {
    switch (detail.typeUrl) {
      case "type.googleapis.com/google.rpc.ErrorInfo": {
        const info = ErrorInfo.decode(detail.value);
        // A proxy in between may answer with reasons of its own.
        if (info.domain === DOMAIN) {
          failure.reason = info.reason;
          failure.metadata = info.metadata;
        }
        break;
      }
      case "type.googleapis.com/google.rpc.RetryInfo": {
        const delay = RetryInfo.decode(detail.value).retryDelay;
        failure.retryAfterMs = Number(delay?.seconds ?? 0) * 1000 + (delay?.nanos ?? 0) / 1e6;
        break;
      }
      case "type.googleapis.com/google.rpc.BadRequest":
        for (const violation of BadRequest.decode(detail.value).fieldViolations) {
          failure.fields[violation.field] = violation.description;
        }
        break;
    }
  }
  return failure;
}

/** Whether the very same call may succeed later. All calls of the gateway may be sent twice. */
export function isRetryable(failure: Failure): boolean {
  return (
    failure.retryAfterMs !== undefined || failure.code === Code.UNAVAILABLE || failure.code === Code.DEADLINE_EXCEEDED
  );
}

/** One line for a log. */
export function describe(failure: Failure): string {
  return [Code[failure.code], failure.reason, failure.message].filter((part) => part !== "").join(" ");
}
