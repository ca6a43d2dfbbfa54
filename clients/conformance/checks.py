"""What each language is put through: the transcript, a gateway that restarts under its example, and other troubles."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc

from clients.conformance.examples import Example, begin
from clients.conformance.languages import CLIENTS, Language
from clients.conformance.later import TAKEN_OVER
from clients.conformance.processes import WAIT_SECONDS, Backend, Process, WentWrong
from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway._gen.disgateway.v1 import checkpoint_pb2_grpc as pb_grpc

STREAM = "orders"
OUTAGE_SECONDS = 1.0
END_SECONDS = 30.0
"""For an example to give up by itself: it tries for 20."""
STOP_SECONDS = 5.0
"""For an example to end that has nothing to commit: 3, and what a busy machine needs on top."""
LAST_COMMIT_SECONDS = 15.0
"""For an example to end whose last commit does not succeed: 10, and what a busy machine needs on top."""
THROTTLED_SECONDS = 18
"""What DIS asks to wait for: longer than an example may take to end, and shorter than it tries for."""
HIGHER = 1_000_000
"""What another consumer commits."""
_EVERY_SECONDS = 0.05


def steps() -> list[str]:
    """The steps of the transcript, each as its number and its name."""
    transcript = json.loads((CLIENTS / "transcript.json").read_text())
    return [f"{step['id']} {step['name']}" for step in transcript["steps"]]


def hold_transcript(language: Language, folder: Path) -> Iterator[tuple[str, float]]:
    """Each step with the seconds that it took, as it is done. Raises :class:`WentWrong` at the first that fails."""
    with Backend(folder) as backend:
        arguments = ["--target", backend.target, "--emulator", backend.emulator]
        names = ["--stream", STREAM, "--app", language.folder.name]
        program = Process(
            f"{language.name}: the transcript",
            [*language.transcript, *arguments, *names],
            language.folder,
            language.environ(),
            folder / "transcript.log",
        )
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
    """The gateway restarts under the example, which goes on, loses nothing and invents nothing."""
    app = language.folder.name
    with Backend(folder, f"unix://{folder}/gateway.sock") as backend:
        with _running(language, backend.target, STREAM, folder) as example:
            _commit_twice(example)
            if code := backend.end_gateway(signal.SIGTERM):
                raise WentWrong(f"the gateway ended with exit code {code}")
            _nothing_new(example, (backend.stored(STREAM, app) or 0) + 1)
            backend.begin_gateway()
            _commit_twice(example)

            # Killed when DIS has stored a commit whose answer never comes: it must be committed again.
            backend.control("POST", "faults", {"kind": "hold_answer", "method": "POST"})
            _wait_until_used(backend)
            backend.end_gateway(signal.SIGKILL)
            unanswered = backend.stored(STREAM, app) or 0
            _nothing_new(example, unanswered)
            backend.control("POST", "release")
            backend.begin_gateway()
            if (number := example.next_committed()) != unanswered:
                raise example.wrong(f"went on with {number}: the answer to {unanswered} was lost, so it comes first")
            _commit_twice(example)

            last = example.stop()
            example.must_have_stored_what_it_said(backend, STREAM)
            if (stored := backend.stored(STREAM, app)) != last:
                raise WentWrong(f"DIS has {stored}, and {last} was the last that {language.name} committed")

        with _running(language, backend.target, STREAM, folder) as again:
            again.must_resume_after(last)
            again.stop()


def stay_away_where_nothing_is_known(language: Language, backend: Backend, folder: Path) -> None:
    """The checkpoint cannot be read: that is not "no checkpoint"."""
    stream, app = "unreadable", language.folder.name
    backend.control("PUT", f"streams/{stream}", {"partitions": 1})
    backend.control("PUT", f"apps/{app}")
    there = {"stream": stream, "app": app, "partition": "0", "sequence_number": "41"}
    backend.control("PUT", "checkpoints", there)
    with (
        _fault(backend, kind="error", code="DIS.4116", method="GET", times=0),
        _running(language, backend.target, stream, folder) as example,
    ):
        example.must_fail(END_SECONDS)
        if example.began or backend.commits(stream):
            raise example.wrong("began, though its checkpoint could not be read")


def stop_when_fenced(language: Language, backend: Backend, folder: Path) -> None:
    """DIS refuses a commit, as another consumer has the partition: it is the last."""
    stream = "fenced"
    with _running(language, backend.target, stream, folder) as example:
        example.next_committed()
        with _fault(backend, kind="error", code="DIS.4702", method="POST"):
            _wait_until_used(backend)
            example.must_fail(END_SECONDS)
        example.must_have_stored_what_it_said(backend, stream)
        if backend.commits(stream)[-1].accepted:
            raise example.wrong("has committed after it was fenced")


def stop_when_another_is_ahead(language: Language, backend: Backend, folder: Path) -> None:
    """Another consumer has committed a higher number: the next commit is refused, and is the last."""
    stream, app = "ahead", language.folder.name
    with _running(language, backend.target, stream, folder) as example:
        example.next_committed()
        with _gateway(backend.target) as gateway:
            key = pb.CheckpointKey(stream_name=stream, app_name=app, partition_id="0")
            commit = pb.CommitCheckpointRequest(key=key, sequence_number=str(HIGHER))
            gateway.CommitCheckpoint(commit, timeout=WAIT_SECONDS)
        example.must_fail(END_SECONDS)
        example.must_have_stored_what_it_said(backend, stream)
        if backend.commits(stream)[-1].number != HIGHER:
            raise example.wrong("has committed after another consumer did")


def stop_when_superseded(language: Language, target: str, folder: Path) -> None:
    """A commit is answered with a higher number than its own: another consumer is ahead."""
    with _running(language, target, TAKEN_OVER, folder) as example:
        example.watch(END_SECONDS, lambda: len(example.committed) > 1)
        if len(example.committed) > 1:
            raise example.wrong("went on, though the answer to its second commit had a higher number")
        example.must_fail(END_SECONDS)


def end_before_a_gateway_is_there(language: Language, folder: Path) -> None:
    """SIGTERM while the example waits for a gateway that never came."""
    path = folder / "nobody.sock"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(WAIT_SECONDS)
        with _running(language, f"unix://{path}", "nobody", folder) as example:
            try:
                listener.accept()[0].close()  # so that it is known to be waiting
            except TimeoutError:
                raise example.wrong("has not connected") from None
            listener.close()
            path.unlink()
            example.stop(STOP_SECONDS)
            if example.began:
                raise example.wrong("began, though no gateway was there")


def end_while_dis_throttles(language: Language, backend: Backend, folder: Path) -> None:
    """SIGTERM while the example waits to commit: it ends in time, and says that it has not."""
    stream = "throttled"
    with _running(language, backend.target, stream, folder) as example:
        example.next_committed()
        throttled = {"code": "APIGW.0308", "retry_after": str(THROTTLED_SECONDS)}
        with _fault(backend, kind="error", method="POST", times=0, **throttled):
            _wait_until(lambda: backend.commits(stream)[-1].status >= 400, "no commit came that could be throttled")
            example.signal(signal.SIGTERM)
            example.must_fail(LAST_COMMIT_SECONDS)
        example.must_have_stored_what_it_said(backend, stream)


def commit_while_no_record_comes(language: Language, target: str, folder: Path) -> None:
    """A record that is finished is committed in time, though the next one is far."""
    with _running(language, target, "silent", folder, slow=True) as example:
        example.must_resume_after(41)
        if (number := example.next_committed(WAIT_SECONDS)) != 42:
            raise example.wrong(f"has waited for {number} before it committed 42")
        example.stop()


def read_a_later_gateway(language: Language, target: str, folder: Path) -> None:
    """Each answer has a field that the client does not know, and a value of an enum."""
    with _running(language, target, "later", folder) as example:
        example.must_resume_after(41)
        _commit_twice(example)
        example.stop()


@contextmanager
def _running(language: Language, target: str, stream: str, folder: Path, *, slow: bool = False) -> Iterator[Example]:
    example = begin(language, target, stream, folder, slow=slow)
    try:
        yield example
    finally:
        example.kill()


@contextmanager
def _fault(backend: Backend, **fault: object) -> Iterator[None]:
    backend.control("POST", "faults", fault)
    try:
        yield
    finally:
        backend.control("DELETE", "faults")


@contextmanager
def _gateway(target: str) -> Iterator[pb_grpc.CheckpointServiceStub]:
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        yield pb_grpc.CheckpointServiceStub(channel)


def _commit_twice(example: Example) -> None:
    """So that at least one was begun after this was called."""
    for _ in range(2):
        example.next_committed()


def _nothing_new(example: Example, limit: int) -> None:
    """Nobody answers for a while: it says of no number from ``limit`` on that it is committed."""
    example.watch(OUTAGE_SECONDS, lambda: max(example.committed) >= limit)
    if max(example.committed) >= limit:
        raise example.wrong("said that it has committed what nobody can have told it: no gateway was there")


def _wait_until_used(backend: Backend) -> None:
    _wait_until(lambda: not backend.control("GET", "faults"), "no commit came that could go wrong")


def _wait_until(true: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not true():
        if time.monotonic() > until:
            raise WentWrong(otherwise)
        time.sleep(_EVERY_SECONDS)
