/** The control API of the emulator. */
export class EmulatorControl {
  constructor(private readonly url: string) {}

  async call(method: string, path: string, body?: object): Promise<void> {
    const answer = await fetch(`${this.url}/_emulator/${path}`, {
      method,
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    if (!answer.ok) {
      throw new Error(`the emulator answers ${method} ${path} with ${answer.status}: ${await answer.text()}`);
    }
    await answer.arrayBuffer(); // so that its connection can be used again
  }

  /** Forgets everything, and makes what the conversation is about. */
  async prepare(stream: string, app: string): Promise<void> {
    await this.call("POST", "reset");
    await this.call("PUT", `streams/${stream}`, { partitions: 4 });
    await this.call("PUT", `apps/${app}`);
  }

  /** Lets the next calls to DIS go wrong; `times` 0: until it is cleared. */
  fault(fault: { kind: string; method: string; times: number; code?: string }): Promise<void> {
    return this.call("POST", "faults", fault);
  }

  clear(): Promise<void> {
    return this.call("DELETE", "faults");
  }
}
