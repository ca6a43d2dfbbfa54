/**
 * What a program that reads one partition of a DIS stream looks like with the gateway: it resumes after its checkpoint,
 * processes, commits after so many records or seconds, and upon SIGTERM finishes with a last commit. The records are
 * simulated: `node dist/example/consumer.js --stream orders --app billing`
 */
import { setTimeout as sleep } from "node:timers/promises";

import { connect, type Failure, type Gateway, parseSequenceNumber, ReadMode, retry } from "../index.js";
import { type Options, parseOptions } from "./options.js";

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => stop.abort());
}
const onRetry = (failure: Failure): void => console.log(`trying again: ${failure}`);

/** Stands for a DIS cursor of type AFTER_SEQUENCE_NUMBER (TRIM_HORIZON where there is no checkpoint). */
async function* records(after: bigint, intervalMs: number): AsyncGenerator<bigint, undefined> {
  while (await sleep(intervalMs, true, { signal: stop.signal }).catch(() => false)) {
    yield ++after;
  }
}

/** What comes within `ms`, else undefined. */
async function within<T>(ms: number, coming: Promise<T>): Promise<T | undefined> {
  const timer = new AbortController();
  const late = sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined);
  return await Promise.race([coming, late]).finally(() => timer.abort());
}

async function consume(gateway: Gateway, options: Options): Promise<void> {
  const key = { streamName: options.stream, appName: options.app, partitionId: options.partition };
  // Fresh, as whoever had the partition before may have committed through another gateway. An error never means that
  // there is no checkpoint: starting over upon one would repeat the whole stream.
  const read = { key, readMode: ReadMode.READ_MODE_FRESH };
  const answer = await retry((settings) => gateway.getCheckpoint(read, settings), { stop: stop.signal, onRetry });
  let last = answer.found ? parseSequenceNumber(answer.checkpoint?.sequenceNumber) : -1n;
  console.log(answer.found ? `resuming after ${last}` : "no checkpoint: starting at the oldest record");

  let processed = 0;
  let uncommitted = 0;
  let due = Infinity;
  const commit = async (): Promise<void> => {
    const { clientId, generationId } = options; // with them DIS refuses a consumer that has lost its partition
    const request = { key, sequenceNumber: String(last), clientId, generationId }; // the LAST record that is finished
    const calling = { commit: true, stop: stop.signal, onRetry };
    const { effective } = await retry((settings) => gateway.commitCheckpoint(request, settings), calling);
    const stands = parseSequenceNumber(effective?.sequenceNumber);
    if (stands > last) {
      throw new Error(`another consumer has taken over: it has committed ${stands}, and this one ${last}`);
    }
    console.log(`committed ${last}`);
    uncommitted = 0;
    due = Infinity;
  };

  const stream = records(last, options.intervalMs);
  let coming: ReturnType<typeof stream.next> | undefined;
  for (;;) {
    coming ??= stream.next();
    const next = uncommitted > 0 ? await within(due - performance.now(), coming) : await coming;
    if (next?.done) {
      break;
    }
    if (next) {
      coming = undefined;
      // Here a real consumer works on the record. It is finished before `last` moves.
      last = next.value;
      processed++;
      if (++uncommitted === 1) {
        due = performance.now() + options.commitMs;
      }
    }
    if (uncommitted >= options.commitEvery || performance.now() >= due) {
      await commit();
    }
  }
  if (uncommitted > 0) {
    await commit();
  }
  console.log(`processed ${processed} records`);
}

const options = parseOptions();
const gateway = connect(options.target);
try {
  await consume(gateway, options);
} catch (error) {
  if (error === stop.signal.reason) {
    console.log("processed 0 records"); // stopped before it knew where to begin
  } else {
    console.error(`stopped: ${error instanceof Error ? error.message : error}`); // the next start reads what stands
    process.exitCode = 1;
  }
} finally {
  stop.abort(); // a record that is still awaited would keep the program from ending
  gateway.close();
}
