"""Holds the conversation of TRANSCRIPT.md with a gateway whose DIS is the emulator: ``python -m transcript --help``."""

from __future__ import annotations

import argparse
import sys

import grpc

from disgateway.errors import Failure
from disgateway.retry import GatewayError
from transcript.emulator import EmulatorControl
from transcript.expect import Mismatch
from transcript.steps import Conversation

ABOUT = "Hold the transcript with a gateway. It first resets the emulator: everything in it is forgotten."


def main() -> int:
    parser = argparse.ArgumentParser(prog="transcript", description=ABOUT)
    parser.add_argument("--target", default="127.0.0.1:50551", help="the gateway: host:port, or unix:///path")
    parser.add_argument("--emulator", default="http://127.0.0.1:9552", help="URL of the emulator behind it")
    parser.add_argument("--stream", required=True, help="name of the DIS stream")
    parser.add_argument("--app", required=True, help="name of the DIS app")
    options = parser.parse_args()
    emulator = EmulatorControl(options.emulator)
    emulator.prepare(options.stream, options.app)
    conversation = Conversation(options.target, emulator, options.stream, options.app)
    for number, (name, take) in enumerate(conversation.steps(), 1):
        try:
            take()
        except (Mismatch, GatewayError, grpc.RpcError) as error:
            problem = Failure.from_error(error) if isinstance(error, grpc.RpcError) else error
            print(f"FAILED {number} {name}: {problem}", flush=True)
            return 1
        print(f"ok {number} {name}", flush=True)
    conversation.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
