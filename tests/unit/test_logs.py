"""What libraries log becomes lines of the gateway's own log."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from gateway.limit import LogLimit
from gateway.telemetry.logs import FromLibraries, _Sink


def record(message: str, *args: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("urllib3.pool", level, "pool.py", 1, message, args, None)


def test_what_a_library_says_is_a_line_and_what_it_repeats_a_number() -> None:
    now = [0.0]
    handler = FromLibraries(LogLimit(lambda: now[0], burst=1, seconds_each=10.0))
    with capture_logs() as lines:
        for port in range(5):
            handler.emit(record("no connection to port %s", port))
        handler.emit(record("it broke", level=logging.ERROR))
        now[0] += 10
        handler.emit(record("no connection to port %s", 5))
    assert [(line["log_level"], line["problem"], line.get("suppressed")) for line in lines] == [
        ("warning", "no connection to port 0", None),
        ("error", "it broke", None),
        ("warning", "no connection to port 5", 4),
    ]


def test_every_line_of_a_process_is_json() -> None:
    program = (
        "import logging; from gateway.telemetry import logs\n"
        "logs.configure('info', 'json'); logs.configure('info', 'json')\n"
        "logging.getLogger('waitress').warning('full'); logging.getLogger('waitress').info('quiet')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    (line,) = [json.loads(text) for text in done.stderr.splitlines()]
    assert (line["event"], line["library"], line["problem"]) == ("library_says", "waitress", "full")


def test_a_pipe_that_nobody_reads_holds_nobody_up() -> None:
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as file:
        sink, line = _Sink(file), "\u20ac" * 5000

        def fill() -> None:
            for _ in range(100):
                sink.write(line)
                sink.write("\n")

        filling = threading.Thread(target=fill, daemon=True)
        filling.start()
        filling.join(10)
        held_up = filling.is_alive()
        os.set_blocking(reader, False)
        got = drained(reader)
        if held_up:
            os.close(reader)  # which ends what waits for it
            filling.join(10)
            pytest.fail("it waits for somebody to read")
        assert 4096 <= len(got) < 100 * len(line.encode())
        sink.write("again\n")
        sink.flush()
        assert drained(reader) == b"again\n"
    os.close(reader)


def drained(reader: int) -> bytes:
    got = bytearray()
    with suppress(BlockingIOError):
        while part := os.read(reader, 65536):
            got += part
    return bytes(got)
