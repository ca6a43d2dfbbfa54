import { type CallOptions, type ClientUnaryCall, Metadata, type ServiceError } from "@grpc/grpc-js";

type Unary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

/** Headers of a call that waits, within its deadline, for a gateway that is not there yet. */
export function waitForReady(): Metadata {
  return new Metadata({ waitForReady: true });
}

/**
 * Makes a promise of a call, which is rejected with a ServiceError. Without `timeoutMs` the deadline is that of the
 * channel's service config. `client` is what `method` belongs to.
 */
export function unary<Request, Response>(
  client: unknown,
  method: Unary<Request, Response>,
  request: Request,
  timeoutMs?: number,
): Promise<Response> {
  const options = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
  return new Promise((resolve, reject) => {
    method.call(client, request, waitForReady(), options, (error, response) => {
      if (error) {
        reject(error);
      } else {
        resolve(response);
      }
    });
  });
}
