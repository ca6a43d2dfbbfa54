import { parseArgs } from "node:util";

export interface Options {
  target: string;
  stream: string;
  app: string;
  partition: string;
  commitEvery: number;
  commitMs: number;
  intervalMs: number;
  clientId: string;
  generationId: string;
}

const USAGE = `consumer --stream NAME --app NAME
  --target TARGET            the gateway: host:port, or unix:///path (127.0.0.1:50551)
  --partition ID             such as 0 or shardId-0000000000 (0)
  --commit-every N           commit after so many records (10)
  --commit-seconds SECONDS   and so long after the first of them at the latest (1)
  --interval SECONDS         time between two records (0.1)
  --client-id ID, --generation-id ID   membership in a consumer group, sent with each commit`;

/** The options of the command line. Says what is wrong with them, and ends with 2. */
export function parseOptions(): Options {
  try {
    const { values } = parseArgs({
      options: {
        help: { type: "boolean", short: "h" },
        target: { type: "string", default: "127.0.0.1:50551" },
        stream: { type: "string" },
        app: { type: "string" },
        partition: { type: "string", default: "0" },
        "commit-every": { type: "string", default: "10" },
        "commit-seconds": { type: "string", default: "1" },
        interval: { type: "string", default: "0.1" },
        "client-id": { type: "string", default: "" },
        "generation-id": { type: "string", default: "" },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    if (!values.stream || !values.app) {
      throw new Error("--stream and --app are mandatory");
    }
    if (!/^[1-9]\d{0,8}$/.test(values["commit-every"])) {
      throw new Error(`--commit-every is a whole number above 0, not "${values["commit-every"]}"`);
    }
    return {
      target: values.target,
      stream: values.stream,
      app: values.app,
      partition: values.partition,
      commitEvery: Number(values["commit-every"]),
      commitMs: milliseconds("commit-seconds", values["commit-seconds"]),
      intervalMs: milliseconds("interval", values.interval),
      clientId: values["client-id"],
      generationId: values["generation-id"],
    };
  } catch (error) {
    console.error(`consumer: ${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

function milliseconds(name: string, text: string): number {
  if (!/^\d{1,6}(\.\d+)?$/.test(text) || Number(text) === 0) {
    throw new Error(`--${name} is a number of seconds above 0, not "${text}"`);
  }
  return Number(text) * 1000;
}
