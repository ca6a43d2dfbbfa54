/** Sends a call again until it succeeds, is refused, or has taken too long. */
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

import { Failure, isServiceError } from "./failure.js";
import type { CallSettings } from "./gateway.js";

const OPERATION_MS = 20_000; // all of its calls; less than the 30 s that Kubernetes leaves
const AFTER_STOP_MS = 10_000;
const CALL_MS = 5_000;
const FIRST_BACKOFF_MS = 250;
const LAST_BACKOFF_MS = 2_000;

export interface RetryOptions {
  /**
   * It is a commit. `stop` does not end it, but leaves it at most 10 seconds; and the error says whether it may be
   * stored. Without, `stop` ends it at once, a call under way included.
   */
  commit?: boolean;
  /** That the program is to end. */
  stop?: AbortSignal;
  /** Called before each wait. */
  onRetry?: (failure: Failure, delayMs: number) => void;
  /** For tests. */
  clock?: Clock;
}

export interface Clock {
  /** Milliseconds that never go back. */
  now(): number;
  /** Ends early upon `signal`. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, { signal }).catch(() => {}),
};

/** The operation has failed, and was not, or is not to be, tried again. */
export class RetryError extends Error {
  constructor(
    /** How the last call failed. */
    readonly failure: Failure,
    /** Whether any of its calls may have been carried out. */
    readonly outcomeUnknown: boolean,
    commit: boolean,
  ) {
    const stored = outcomeUnknown ? "it may be committed" : "it is not committed";
    super(commit ? `${failure}; ${stored}` : String(failure));
  }
}

/**
 * Calls until there is an answer, for at most 20 seconds. `call` takes the settings it is given: its deadline, and the
 * signal that cancels it. A call whose outcome is unknown is sent again as it is: that is safe, but
 * for a delete or a commit with `allowRewind` while others commit the same key.
 *
 * Rejected with a RetryError; with the reason of `stop`, where that has ended it; or with what else `call` throws.
 */
export async function retry<T>(
  call: (settings: CallSettings) => Promise<T>,
  { commit = false, stop, onRetry, clock = SYSTEM_CLOCK }: RetryOptions = {},
): Promise<T> {
  const cancelling = commit ? undefined : stop;
  let deadline = clock.now() + OPERATION_MS;
  const onStop = () => {
    deadline = Math.min(deadline, clock.now() + AFTER_STOP_MS);
  };
  stop?.addEventListener("abort", onStop);
  if (stop?.aborted) {
    onStop();
  }
  let outcomeUnknown = false;
  let backoff = FIRST_BACKOFF_MS;
  try {
    for (;;) {
      cancelling?.throwIfAborted();
      try {
        return await call({ timeoutMs: Math.min(CALL_MS, deadline - clock.now()), signal: cancelling });
      } catch (error) {
        cancelling?.throwIfAborted();
        if (!isServiceError(error)) {
          throw error;
        }
        const failure = Failure.fromError(error);
        outcomeUnknown ||= failure.outcomeUnknown;
        const failed = new RetryError(failure, outcomeUnknown, commit);
        if (!failure.retryable) {
          throw failed;
        }
        // A RetryInfo of 0 must not make it spin.
        const delay =
          failure.retryDelayMs === undefined ? jittered(backoff) : Math.max(failure.retryDelayMs, FIRST_BACKOFF_MS);
        backoff = Math.min(backoff * 2, LAST_BACKOFF_MS);
        const next = clock.now() + delay;
        if (next >= deadline) {
          throw failed;
        }
        onRetry?.(failure, delay);
        while (clock.now() < next) {
          // A stop ends the sleep, as it may have brought the deadline before `next`.
          await clock.sleep(next - clock.now(), stop?.aborted ? undefined : stop);
          cancelling?.throwIfAborted();
          if (next >= deadline) {
            throw failed;
          }
        }
      }
    }
  } finally {
    stop?.removeEventListener("abort", onStop);
  }
}

/** So that consumers that failed together do not come back together. */
function jittered(ms: number): number {
  return ms * (0.8 + 0.4 * Math.random());
}
