"""What each language is put through: the transcript, and a gateway that restarts under its example."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from clients.conformance.languages import CLIENTS, Language
from clients.conformance.processes import WAIT_SECONDS, Backend, Process, WentWrong

STREAM = "orders"
_EVERY_SECONDS = 0.05
_COMMITTED = re.compile(r"committed (\d+)")
_PROCESSED = re.compile(r"processed (\d+) records")


def steps() -> list[str]:
    """The steps of the transcript, each as its number and its name."""
    transcript = json.loads((CLIENTS / "transcript.json").read_text())
    return [f"{step['id']} {step['name']}" for step in transcript["steps"]]


def hold_transcript(language: Language, folder: Path) -> Iterator[tuple[str, float]]:
    """Each step with the seconds that it took, as it is done. Raises :class:`WentWrong` at the first that fails."""
    with Backend(folder) as backend:
        arguments = ["--target", backend.target, "--emulator", backend.emulator]
        program = _started(language, language.transcript, arguments, folder)
        try:
            before = time.monotonic()
            for step in steps():
                found = program.next_line()
                if found is None or found[1] != f"ok {step}":
                    raise program.wrong(f"should have printed: ok {step}")
                yield step, found[0] - before
                before = found[0]
            if code := program.finish():
                raise program.wrong(f"ended with exit code {code}")
            if len(program.lines) > len(steps()):
                raise program.wrong("printed more than the steps")
        finally:
            program.kill()


def survive_restarts(language: Language, folder: Path) -> None:
    """The gateway restarts under the example, which goes on and loses nothing. Raises :class:`WentWrong`."""
    with Backend(folder, f"unix://{folder}/gateway.sock") as backend:
        example = _example(language, backend, folder)
        try:
            _wait_for_commits(example)
            if code := backend.end_gateway(signal.SIGTERM):
                raise WentWrong(f"the gateway ended with exit code {code}")
            _begin_and_wait(backend, example)

            # Killed when DIS has stored a commit whose answer never comes: it must be committed again.
            backend.control("POST", "faults", {"kind": "hold_answer", "method": "POST"})
            _wait_until_used(backend)
            backend.end_gateway(signal.SIGKILL)
            backend.control("POST", "release")
            _begin_and_wait(backend, example)

            last = stop(example)
            _check_stored(language, backend, last)
        finally:
            example.kill()

        again = _example(language, backend, folder)
        try:
            again.wait_for(lambda line: line == f"resuming after {last}", f"'resuming after {last}'")
            stop(again)
        finally:
            again.kill()


def _started(language: Language, command: tuple[str, ...], arguments: list[str], folder: Path) -> Process:
    names = ["--stream", STREAM, "--app", language.folder.name]
    return Process(
        f"{language.name}: {command[0].rsplit('/', 1)[-1]}",
        [*command, *arguments, *names],
        language.folder,
        language.environ(),
        folder / "program.log",
    )


def _example(language: Language, backend: Backend, folder: Path) -> Process:
    return _started(language, language.example, ["--target", backend.target], folder)


def _wait_for_commits(example: Process) -> None:
    """Two of them, so that at least one was begun after this was called."""
    for _ in range(2):
        example.wait_for(lambda line: bool(_COMMITTED.fullmatch(line)), "'committed N'")


def _begin_and_wait(backend: Backend, example: Process) -> None:
    example.drain()
    backend.begin_gateway()
    _wait_for_commits(example)


def _wait_until_used(backend: Backend) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while backend.control("GET", "faults"):
        if time.monotonic() > until:
            raise WentWrong("no commit came that could be held")
        time.sleep(_EVERY_SECONDS)


def stop(example: Process) -> int:
    """SIGTERM; checks what it printed, and returns the number of the last record that it committed."""
    example.signal(signal.SIGTERM)
    if code := example.finish():
        raise example.wrong(f"ended with exit code {code} upon SIGTERM")
    first = 0
    committed: list[int] = []
    processed: list[int] = []
    for line in example.lines:
        if line.startswith("resuming after "):
            first = int(line.rsplit(" ", 1)[1]) + 1
        committed += [int(number) for number in _COMMITTED.findall(line)]
        processed += [int(number) for number in _PROCESSED.findall(line)]
    if len(processed) != 1:
        raise example.wrong("has not said once 'processed N records'")
    if committed != sorted(set(committed)):
        raise example.wrong("committed a number twice, or out of order")
    last = first + processed[0] - 1
    if committed[-1:] != [last] and processed != [0]:
        raise example.wrong(f"has not committed {last}, the last that it processed")
    return last


def _check_stored(language: Language, backend: Backend, last: int) -> None:
    checkpoints = backend.control("GET", "")["streams"][STREAM]["checkpoints"]
    stored = checkpoints[language.folder.name]["shardId-0000000000"]
    if stored != str(last):
        raise WentWrong(f"DIS has {stored}, and {last} was the last that {language.name} committed")
