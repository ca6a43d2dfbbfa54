/**
 * Holds the conversation of TRANSCRIPT.md with a gateway whose DIS is the emulator:
 * `node dist/transcript/main.js --target 127.0.0.1:50551 --emulator http://127.0.0.1:9552 --stream orders --app billing`
 */
import { parseArgs } from "node:util";

import { Failure, isServiceError } from "../failure.js";
import { EmulatorControl } from "./emulator.js";
import { Conversation } from "./steps.js";

const USAGE = `transcript --stream NAME --app NAME
It first resets the emulator: everything in it is forgotten.
  --target TARGET   the gateway: host:port, or unix:///path (127.0.0.1:50551)
  --emulator URL    the emulator behind it (http://127.0.0.1:9552)`;

const { values } = parseArgs({
  options: {
    help: { type: "boolean", short: "h" },
    target: { type: "string", default: "127.0.0.1:50551" },
    emulator: { type: "string", default: "http://127.0.0.1:9552" },
    stream: { type: "string" },
    app: { type: "string" },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
if (!values.stream || !values.app) {
  console.error(`transcript: --stream and --app are mandatory\n${USAGE}`);
  process.exit(2);
}
const emulator = new EmulatorControl(values.emulator);
await emulator.prepare(values.stream, values.app);
const conversation = new Conversation(values.target, emulator, values.stream, values.app);
for (const [index, [name, take]] of conversation.steps.entries()) {
  try {
    await take();
  } catch (error) {
    const problem = isServiceError(error) ? Failure.fromError(error) : error;
    console.log(`FAILED ${index + 1} ${name}: ${problem}`);
    process.exit(1);
  }
  console.log(`ok ${index + 1} ${name}`);
}
conversation.close();
