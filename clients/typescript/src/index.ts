export * from "./failure.js";
export * from "./gateway.js";
export * from "./gen/disgateway/v1/checkpoint.js";
export { Status } from "./gen/google/rpc/status.js";
export * from "./retry.js";
