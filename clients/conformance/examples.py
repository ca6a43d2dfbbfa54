"""A language's example consumer while it runs: what it says, and how it ends."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from clients.conformance.languages import Language
from clients.conformance.processes import WAIT_SECONDS, Backend, Process, WentWrong

_COMMITTED = re.compile(r"committed (\d+)")
_PROCESSED = re.compile(r"processed (\d+) records")
_RESUMING = re.compile(r"resuming after (\d+)")


class Example(Process):
    """The process of an example, and what its lines mean."""

    def numbers(self, pattern: re.Pattern[str]) -> list[int]:
        """What the lines so far that fit give."""
        return [int(found[1]) for line in self.lines if (found := pattern.fullmatch(line))]

    @property
    def committed(self) -> list[int]:
        """The numbers that it says it has committed."""
        return self.numbers(_COMMITTED)

    @property
    def began(self) -> bool:
        """Whether it says where it starts."""
        return any(line.startswith(("no checkpoint", "resuming after")) for line in self.lines)

    def next_committed(self, seconds: float = WAIT_SECONDS) -> int:
        """The next number that it says it has committed. Raises :class:`WentWrong`."""
        self.wait_for(lambda line: bool(_COMMITTED.fullmatch(line)), "'committed N'", seconds)
        return self.committed[-1]

    def must_resume_after(self, number: int) -> None:
        """Raises :class:`WentWrong` where it does not."""
        self.wait_for(lambda line: line == f"resuming after {number}", f"'resuming after {number}'")

    def must_have_stored_what_it_said(self, backend: Backend, stream: str) -> None:
        """Raises :class:`WentWrong` where it says of a number that it is committed, and DIS has not taken it."""
        taken = {one.number for one in backend.commits(stream) if one.accepted}
        if invented := set(self.committed) - taken:
            raise self.wrong(f"said that it has committed {sorted(invented)}, which DIS has not taken")

    def must_fail(self, seconds: float) -> None:
        """It gives up by itself, and says so with its exit code. Raises :class:`WentWrong`."""
        if (code := self.finish(seconds)) <= 0:
            raise self.wrong(f"ended with exit code {code}, and should have failed")

    def stop(self, seconds: float = WAIT_SECONDS) -> int:
        """SIGTERM; checks what it printed, and returns the number of the last record that it committed."""
        self.signal(signal.SIGTERM)
        if code := self.finish(seconds):
            raise self.wrong(f"ended with exit code {code} upon SIGTERM")
        processed = self.numbers(_PROCESSED)
        if len(processed) != 1:
            raise self.wrong("has not said once 'processed N records'")
        if self.committed != sorted(set(self.committed)):
            raise self.wrong("committed a number twice, or out of order")
        before = self.numbers(_RESUMING) or [-1]
        last = before[0] + processed[0]
        if self.committed[-1:] != [last] and processed != [0]:
            raise self.wrong(f"has not committed {last}, the last that it processed")
        return last


def begin(language: Language, target: str, stream: str, folder: Path, *, slow: bool = False) -> Example:
    """Start the example; the one whose records come slowly, if asked to."""
    command = language.slow_example if slow else language.example
    if not command:
        raise WentWrong(f"{language.folder.name}/conformance.toml has no slow_example")
    names = ["--target", target, "--stream", stream, "--app", language.folder.name]
    log = folder / f"{stream}.log"
    return Example(f"{language.name}: the example", [*command, *names], language.folder, language.environ(), log)
