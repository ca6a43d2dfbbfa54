/** Errors as a gateway makes them. */
import { Metadata, type ServiceError, status as Code } from "@grpc/grpc-js";

import { DOMAIN } from "../failure.js";
import type { Any } from "../gen/google/protobuf/any.js";
import { BadRequest, ErrorInfo, RetryInfo } from "../gen/google/rpc/error_details.js";
import { Status } from "../gen/google/rpc/status.js";

export interface Said {
  code: keyof typeof Code;
  reason?: string;
  domain?: string;
  metadata?: Record<string, string>;
  retry_delay_seconds?: number;
  field?: string;
}

export function statusOf(said: Said): Status {
  const details: Any[] = [];
  const add = (name: string, value: Uint8Array): void => {
    details.push({ typeUrl: `type.googleapis.com/google.rpc.${name}`, value });
  };
  if (said.reason !== undefined) {
    const info = { reason: said.reason, domain: said.domain ?? DOMAIN, metadata: said.metadata ?? {} };
    add("ErrorInfo", ErrorInfo.encode(ErrorInfo.fromPartial(info)).finish());
  }
  if (said.retry_delay_seconds !== undefined) {
    const seconds = Math.floor(said.retry_delay_seconds);
    const retryDelay = { seconds: String(seconds), nanos: (said.retry_delay_seconds - seconds) * 1e9 };
    add("RetryInfo", RetryInfo.encode(RetryInfo.fromPartial({ retryDelay })).finish());
  }
  if (said.field !== undefined) {
    const fieldViolations = [{ field: said.field, description: "is wrong" }];
    add("BadRequest", BadRequest.encode(BadRequest.fromPartial({ fieldViolations })).finish());
  }
  return { code: Code[said.code], message: "what went wrong", details };
}

/** The error of a call. `packed` is what comes as its details. */
export function errorOf(said: Said, packed?: Buffer): ServiceError {
  const status = statusOf(said);
  const metadata = new Metadata();
  if (packed || status.details.length > 0) {
    metadata.set("grpc-status-details-bin", packed ?? Buffer.from(Status.encode(status).finish()));
  }
  return Object.assign(new Error(status.message), { code: status.code, details: status.message, metadata });
}
