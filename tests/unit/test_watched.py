"""Files that are replaced: what is right is taken over, once a second at most; what is wrong is told once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.errors import ConfigurationError
from gateway.watched import CHECK_SECONDS, Watched
from tests.certificates import replace


class Rig:
    def __init__(self, directory: Path) -> None:
        self.now = 0.0
        self.reads = 0
        self.file = replace(directory / "file", "one")
        self.while_reading: Callable[[], object] = lambda: None
        self.watched = Watched("thing", [self.file], self._read, lambda: self.now)

    def _read(self) -> str:
        self.reads += 1
        text = self.file.read_text()
        self.while_reading()
        if text == "wrong":
            raise ConfigurationError("the.key", "it is wrong")
        return text

    def later(self) -> str:
        self.now += CHECK_SECONDS
        return self.watched.current()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_file_is_looked_at_once_a_second_and_read_only_when_it_changed(rig: Rig) -> None:
    replace(rig.file, "two")
    assert rig.watched.current() == "one"
    rig.now += CHECK_SECONDS * 0.99
    assert rig.watched.current() == "one"
    assert rig.later() == "two"
    assert rig.later() == "two"
    assert rig.reads == 2


def test_wrong_content_is_told_once_and_what_was_there_stays(rig: Rig) -> None:
    with capture_logs() as logs:
        replace(rig.file, "wrong")
        assert [rig.later() for _ in range(3)] == ["one"] * 3
    assert [(line["event"], line["log_level"]) for line in logs] == [("thing_not_reloaded", "warning")]
    assert "the.key: it is wrong" in logs[0]["problem"]
    with capture_logs() as logs:
        replace(rig.file, "three")
        assert rig.later() == "three"
    assert [line["event"] for line in logs] == ["thing_reloaded"]


def test_each_wrong_content_is_told(rig: Rig) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            replace(rig.file, "wrong")
            rig.later()
    assert [line["event"] for line in logs] == ["thing_not_reloaded"] * 2


def test_files_of_two_versions_are_never_put_together(rig: Rig) -> None:
    def change() -> None:
        rig.while_reading = lambda: None
        replace(rig.file, "three")

    replace(rig.file, "two")
    rig.while_reading = change
    assert rig.later() == "three"


def test_a_file_that_never_rests_is_not_taken_over(rig: Rig) -> None:
    rig.while_reading = lambda: replace(rig.file, "restless")
    replace(rig.file, "two")
    assert rig.later() == "one"
    rig.while_reading = lambda: None
    assert rig.later() == "restless"


def test_wrong_content_at_the_start_is_an_error(tmp_path: Path) -> None:
    file = replace(tmp_path / "file", "x")

    def read() -> str:
        raise ConfigurationError("the.key", "it is wrong")

    with pytest.raises(ConfigurationError) as caught:
        Watched("thing", [file], read, lambda: 0.0)
    assert (caught.value.key, caught.value.problem) == ("the.key", "it is wrong")


def test_a_link_that_leads_to_another_file_is_a_change(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "first")
    now = [0.0]
    watched = Watched("thing", [link], link.read_text, lambda: now[0])
    other = tmp_path / "other"
    other.symlink_to(tmp_path / "second")
    other.rename(link)
    now[0] = CHECK_SECONDS
    assert watched.current() == "second"
