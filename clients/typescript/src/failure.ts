/**
 * What an error of the gateway says, read from the status details that each of them carries.
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
/** Rejoin the consumer group before the next commit. */
export const CONSUMER_GROUP_REBALANCING = "CONSUMER_GROUP_REBALANCING";
/** The commit may be stored or not. Committing the same number again is safe. */
export const COMMIT_OUTCOME_UNKNOWN = "COMMIT_OUTCOME_UNKNOWN";
/** The checkpoint may be gone or not. */
export const DELETE_OUTCOME_UNKNOWN = "DELETE_OUTCOME_UNKNOWN";

const OUTCOME_UNKNOWN = [COMMIT_OUTCOME_UNKNOWN, DELETE_OUTCOME_UNKNOWN];
const RETRYABLE_REASONS = [...OUTCOME_UNKNOWN, "DEADLINE_TOO_SHORT"];
// Without a reason these are from the library or something in between, and pass.
const RETRYABLE_CODES = [Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.UNKNOWN, Code.INTERNAL];

export interface FieldViolation {
  /** Its path, such as "key.partition_id". */
  field: string;
  description: string;
}

interface Details {
  reason: string;
  metadata: Record<string, string>;
  retryDelayMs?: number;
  fieldViolations: FieldViolation[];
}

const NO_DETAILS: Details = { reason: "", metadata: {}, fieldViolations: [] };

export class Failure {
  /** Empty where the error is not the gateway's own: the connection broke, or the caller's deadline has passed. */
  readonly reason: string;
  /** `dis_error_code`, `dis_request_id` and `http_status` where DIS has answered with an error. */
  readonly metadata: Record<string, string>;
  /** Milliseconds to wait before the same call again; undefined where the gateway did not say. */
  readonly retryDelayMs?: number;
  /** The fields of the request that are wrong. */
  readonly fieldViolations: FieldViolation[];

  private constructor(
    readonly code: Code,
    readonly message: string,
    details: Details,
    private readonly cancelledByCaller: boolean,
  ) {
    this.reason = details.reason;
    this.metadata = details.metadata;
    this.retryDelayMs = details.retryDelayMs;
    this.fieldViolations = details.fieldViolations;
  }

  /**
   * Reads the error of a call; details that cannot be read are left out. `cancelledByCaller`: the program itself has
   * cancelled the call, so it is not to be sent again.
   */
  static fromError(error: ServiceError, cancelledByCaller = false): Failure {
    const packed = error.metadata?.get("grpc-status-details-bin")[0];
    const details = packed instanceof Buffer ? detailsOf(error.code, () => Status.decode(packed)) : NO_DETAILS;
    return new Failure(error.code, error.details, details, cancelledByCaller);
  }

  /** Reads the status of one element of a batch or stream. */
  static fromStatus(status: Status): Failure {
    return new Failure(status.code, status.message, detailsOf(status.code, () => status), false);
  }

  /** Whether the very same call may succeed later. */
  get retryable(): boolean {
    if (this.retryDelayMs !== undefined || RETRYABLE_REASONS.includes(this.reason)) {
      return true;
    }
    return this.reason === "" && RETRYABLE_CODES.includes(this.code) && !this.cancelledByCaller;
  }

  /** Whether a write that failed so may be carried out all the same. */
  get outcomeUnknown(): boolean {
    return this.code !== Code.OK && (this.reason === "" || OUTCOME_UNKNOWN.includes(this.reason));
  }

  /** One line for a log. */
  toString(): string {
    let line = Code[this.code] ?? `code ${this.code}`;
    if (this.reason !== "") {
      line += ` ${this.reason}`;
    }
    line += `: ${this.message}`;
    for (const name of ["dis_error_code", "dis_request_id"]) {
      if (this.metadata[name]) {
        line += ` (${name} ${this.metadata[name]})`;
      }
    }
    return line.replace(/\s+/g, " ");
  }
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}

/** None, if they cannot be decoded or belong to another error. */
function detailsOf(code: Code, decode: () => Status): Details {
  try {
    const status = decode();
    return status.code === code ? read(status) : NO_DETAILS;
  } catch {
    return NO_DETAILS;
  }
}

function read(status: Status): Details {
  const details = { ...NO_DETAILS };
  for (const { typeUrl, value } of status.details) {
    switch (typeUrl) {
      case "type.googleapis.com/google.rpc.ErrorInfo": {
        const info = ErrorInfo.decode(value);
        // A proxy in between may answer with reasons of its own.
        if (info.domain === DOMAIN) {
          details.reason = info.reason;
          details.metadata = info.metadata;
        }
        break;
      }
      case "type.googleapis.com/google.rpc.RetryInfo": {
        const delay = RetryInfo.decode(value).retryDelay;
        details.retryDelayMs = Math.max(Number(delay?.seconds ?? 0) * 1000 + (delay?.nanos ?? 0) / 1e6, 0);
        break;
      }
      case "type.googleapis.com/google.rpc.BadRequest":
        details.fieldViolations = BadRequest.decode(value).fieldViolations.map(({ field, description }) => ({
          field,
          description,
        }));
        break;
    }
  }
  return details;
}
