"""When the example commits, by a clock that only waiting sets on."""

from __future__ import annotations

import importlib.util
import unittest
from argparse import Namespace
from pathlib import Path
from unittest import mock

from disgateway.retry import GatewayError, Stopped
from disgateway.v1 import checkpoint_pb2 as pb
from tests.test_retry import Clock

_spec = importlib.util.spec_from_file_location("consumer", Path(__file__).parents[1] / "example" / "consumer.py")
consumer = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(consumer)


class Example(unittest.TestCase):
    def consumed(self, seconds: float, *, resumed: int | None = None, every: int = 100, interval: float = 1) -> int:
        clock = Clock(stop_after=seconds)
        self.commits: list[tuple[str, float]] = []

        def commit(_: object, request: pb.CommitCheckpointRequest, stop: Clock) -> None:
            self.assertEqual((request.client_id, request.generation_id), ("consumer-1", "7"))
            self.commits.append((request.sequence_number, stop.now))

        options = Namespace(
            stream="orders", app="billing", partition="0", client_id="consumer-1", generation_id="7",
            commit_every=every, commit_seconds=0.5, interval=interval,
        )  # fmt: skip
        fakes = {"time": clock, "commit": commit, "resume": lambda *_: resumed, "print": lambda *_, **__: None}
        with mock.patch.multiple(consumer, create=True, **fakes):
            return consumer.consume(None, options, clock)

    def test_it_commits_in_time_though_no_record_comes(self) -> None:
        self.assertEqual(self.consumed(19, interval=10), 1)
        self.assertEqual(self.commits, [("0", 10.5)])

    def test_it_commits_every_so_many_records_and_the_rest_when_asked_to_stop(self) -> None:
        self.assertEqual(self.consumed(0.75, resumed=41, every=3, interval=0.125), 5)
        self.assertEqual(self.commits, [("44", 0.375), ("46", 0.75)])

    def test_nothing_new_is_not_committed(self) -> None:
        self.assertEqual(self.consumed(0.5, resumed=41), 0)
        self.assertEqual(self.commits, [])


class Program(unittest.TestCase):
    def run_with(self, error: Exception) -> tuple[int, list[str]]:
        said: list[str] = []
        fakes = {
            "consume": mock.Mock(side_effect=error),
            "stop_upon_signal": mock.Mock(),
            "print": lambda text, **_: said.append(text),
        }
        arguments = ["consumer", "--target", "unix:///nonexistent.sock", "--stream", "orders", "--app", "billing"]
        with mock.patch.multiple(consumer, create=True, **fakes), mock.patch("sys.argv", arguments):
            return consumer.main(), said

    def test_asked_to_stop_before_it_has_begun_all_is_well(self) -> None:
        self.assertEqual(self.run_with(Stopped()), (0, ["processed 0 records"]))

    def test_a_failure_is_one_line(self) -> None:
        self.assertEqual(self.run_with(GatewayError("commit of 4: x")), (1, ["stopped: commit of 4: x"]))


if __name__ == "__main__":
    unittest.main()
