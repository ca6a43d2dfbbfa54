/** A connection to a gateway: the generated client, with promises instead of callbacks. */
import { readFileSync } from "node:fs";

import {
  type CallOptions,
  type ChannelOptions,
  type ClientUnaryCall,
  credentials as Credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";

import {
  BatchCommitCheckpointsRequest,
  type BatchCommitCheckpointsResponse,
  BatchGetCheckpointsRequest,
  type BatchGetCheckpointsResponse,
  CheckpointServiceClient,
  CommitCheckpointRequest,
  type CommitCheckpointResponse,
  type DeepPartial,
  DeleteCheckpointRequest,
  type DeleteCheckpointResponse,
  GetCheckpointRequest,
  type GetCheckpointResponse,
  ListCheckpointsRequest,
  type ListCheckpointsResponse,
} from "./gen/disgateway/v1/checkpoint.js";

const SERVICE_CONFIG = readFileSync(new URL("../service-config.json", import.meta.url), "utf8");

export interface CallSettings {
  /** Else the deadline is that of the service config. */
  timeoutMs?: number;
  /** Cancels the call. */
  signal?: AbortSignal;
}

/**
 * Connects to `host:port` or `unix:///path`, without TLS unless `credentials` say otherwise. The connection is made
 * with the first call, and made again whenever it breaks. `options` go over those that suit a gateway beside its
 * consumer.
 */
export function connect(
  target: string,
  options: ChannelOptions = {},
  credentials = Credentials.createInsecure(),
): Gateway {
  const all = {
    "grpc.service_config": SERVICE_CONFIG,
    "grpc.enable_http_proxy": 0, // http_proxy is not meant for a neighbour
    "grpc.max_receive_message_length": 16 << 20, // a thousand checkpoints with long metadata are above 4 MiB
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000, // a sidecar is back within seconds
    ...options,
  };
  return new Gateway(new CheckpointServiceClient(target, credentials, all));
}

/** Each method is rejected with a ServiceError, which `Failure.fromError` reads. */
export class Gateway {
  /** `client` has the two streams. */
  constructor(readonly client: CheckpointServiceClient) {}

  getCheckpoint(request: DeepPartial<GetCheckpointRequest>, settings?: CallSettings): Promise<GetCheckpointResponse> {
    return unary((...rest) => this.client.getCheckpoint(GetCheckpointRequest.fromPartial(request), ...rest), settings);
  }

  commitCheckpoint(
    request: DeepPartial<CommitCheckpointRequest>,
    settings?: CallSettings,
  ): Promise<CommitCheckpointResponse> {
    const whole = CommitCheckpointRequest.fromPartial(request);
    return unary((...rest) => this.client.commitCheckpoint(whole, ...rest), settings);
  }

  deleteCheckpoint(
    request: DeepPartial<DeleteCheckpointRequest>,
    settings?: CallSettings,
  ): Promise<DeleteCheckpointResponse> {
    const whole = DeleteCheckpointRequest.fromPartial(request);
    return unary((...rest) => this.client.deleteCheckpoint(whole, ...rest), settings);
  }

  listCheckpoints(
    request: DeepPartial<ListCheckpointsRequest>,
    settings?: CallSettings,
  ): Promise<ListCheckpointsResponse> {
    const whole = ListCheckpointsRequest.fromPartial(request);
    return unary((...rest) => this.client.listCheckpoints(whole, ...rest), settings);
  }

  batchGetCheckpoints(
    request: DeepPartial<BatchGetCheckpointsRequest>,
    settings?: CallSettings,
  ): Promise<BatchGetCheckpointsResponse> {
    const whole = BatchGetCheckpointsRequest.fromPartial(request);
    return unary((...rest) => this.client.batchGetCheckpoints(whole, ...rest), settings);
  }

  batchCommitCheckpoints(
    request: DeepPartial<BatchCommitCheckpointsRequest>,
    settings?: CallSettings,
  ): Promise<BatchCommitCheckpointsResponse> {
    const whole = BatchCommitCheckpointsRequest.fromPartial(request);
    return unary((...rest) => this.client.batchCommitCheckpoints(whole, ...rest), settings);
  }

  close(): void {
    this.client.close();
  }
}

/** The number that a checkpoint or a committed record has. Throws for what is none: an empty one is not 0. */
export function parseSequenceNumber(text: string | undefined): bigint {
  if (text === undefined || !/^\d+$/.test(text)) {
    throw new Error(`${JSON.stringify(text)} is no sequence number`);
  }
  return BigInt(text); // 64 bits: more than a number of JavaScript has
}

/** Headers of a call that waits, within its deadline, for a gateway that is not there yet: grpc-js takes no other. */
export function waitForReady(): Metadata {
  return new Metadata({ waitForReady: true });
}

/** Makes a promise of a call that `start` starts. */
export function unary<Response>(
  start: (
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: (error: ServiceError | null, response: Response) => void,
  ) => ClientUnaryCall,
  { timeoutMs, signal }: CallSettings = {},
): Promise<Response> {
  const options = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const call = start(waitForReady(), options, (error, response) => {
      signal?.removeEventListener("abort", cancel);
      if (error) {
        reject(error);
      } else {
        resolve(response);
      }
    });
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel);
  });
}
