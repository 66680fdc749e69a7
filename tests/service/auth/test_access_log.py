"""The access log is written whole, apart from calls, and its losses are told."""

import json
import time
from pathlib import Path
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from service.auth import access_log
from service.auth.access_log import AccessLog


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_written_in_order_with_their_time(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.jsonl"
    log, began = AccessLog(path), time.time()
    for number in range(500):
        log.write({"number": number, "text": 'a\nb"\u2028%s'})
    log.close()
    found = lines(path)
    assert [line["number"] for line in found] == list(range(500))
    assert found[0]["text"] == 'a\nb"\u2028%s'
    assert began <= float(str(found[0]["time"])) <= time.time()
    assert path.stat().st_mode & 0o007 == 0


def test_files_follow_each_other_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    with patch.object(access_log, "FILE_BYTES", 1000), patch.object(access_log, "FILES", 3):
        log = AccessLog(path)
        for number in range(100):
            log.write({"number": number})
        log.close()
    files = [path, tmp_path / "access.jsonl.1", tmp_path / "access.jsonl.2"]
    assert sorted(tmp_path.iterdir()) == files
    kept = [line["number"] for file in reversed(files) for line in lines(file)]
    assert kept == list(range(100 - len(kept), 100))
    assert all(file.stat().st_size <= 1000 for file in files)


def test_what_a_full_disk_does_not_take_is_counted_and_told_once(tmp_path: Path) -> None:
    lost = []
    path = tmp_path / "access.jsonl"
    path.symlink_to("/dev/full")
    with (
        patch.object(access_log._Files, "_open", lambda files: open(files.baseFilename, "w")),
        patch.object(access_log._Files, "shouldRollover", lambda files, record: False),
        capture_logs() as logs,
    ):
        log = AccessLog(path, lambda: lost.append(1))
        for number in range(20):
            log.write({"number": number})
        log.close()
    assert len(lost) == 20
    (complaint,) = logs
    assert complaint["event"] == "lines of the access log are lost"
    assert "No space left" in complaint["error"]


def test_lines_beyond_what_may_wait_are_lost_and_no_call_waits(tmp_path: Path) -> None:
    lost = []
    with patch.object(access_log, "MOST_WAITING", 10):
        log = AccessLog(tmp_path / "access.jsonl", lambda: lost.append(1))
        with log._files.lock:  # type: ignore[union-attr]
            for number in range(100):
                log.write({"number": number})
        log.close()
    assert len(lost) >= 80
    assert len(lines(tmp_path / "access.jsonl")) == 100 - len(lost)


def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        AccessLog(tmp_path)
