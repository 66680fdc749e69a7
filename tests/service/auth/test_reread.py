"""Files that change under a running server."""

import os
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.auth.reread import UNSETTLED_SECONDS, FilesUnusable, Reread


def number(path: Path) -> int:
    return int(path.read_text())


def settle(path: Path) -> None:
    """Make a file look as if it had been written a while ago."""
    then = time.time() - 10 * UNSETTLED_SECONDS
    os.utime(path, (then, then))


def test_a_change_counts_at_once_and_nothing_invalid_does(tmp_path: Path) -> None:
    file = tmp_path / "number"
    with pytest.raises(FilesUnusable, match=r"numbers: .*number"):
        Reread([file], lambda: number(file), "numbers")
    file.write_text("1")
    found = Reread([file], lambda: number(file), "numbers")
    assert found.current() == 1
    with capture_logs() as logs:
        file.write_text("2")
        assert found.current() == 2
        file.write_text("two")
        assert [found.current(), found.current()] == [2, 2]
        file.unlink()
        assert found.current() == 2
        file.write_text("3")
        assert found.current() == 3
    told = [(line["log_level"], line.get("error", "")) for line in logs]
    assert [level for level, _ in told] == ["info", "error", "error", "info"], "each once"
    assert "'two'" in told[1][1]
    assert "No such file" in told[2][1]


def test_a_file_that_stays_is_not_read_again(tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("1")
    settle(file)
    reads = list[int]()

    def read() -> int:
        reads.append(number(file))
        return reads[-1]

    found = Reread([file], read, "numbers")
    assert [found.current() for _ in range(5)] == [1] * 5
    assert reads == [1]


def test_two_writes_within_one_tick_of_the_clock(tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("1")
    found = Reread([file], lambda: number(file), "numbers")
    for wanted in range(2, 10):
        before = file.stat()
        file.write_text(str(wanted))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # a stamp that tells nothing
        assert found.current() == wanted
