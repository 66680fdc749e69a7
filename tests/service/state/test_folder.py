"""State folders: one server each, brought to today's version, refused with a sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.state import ServedTime, StateFolder, StateInUse, StateUnusable
from service.state.backup import backup
from service.state.folder import version_of
from service.state.lock import owner
from service.state.manifest import MANIFEST
from service.state.migrations import MIGRATIONS
from tests.toys_mounts import in_mount


def opened(path: Path, **options: object) -> StateFolder:
    migrations = options.get("migrations", MIGRATIONS)
    return StateFolder(path, "1.2.3", 0, lambda kind: None, migrations)  # type: ignore[arg-type]


def test_a_second_server_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    folder = opened(tmp_path / "state")
    with pytest.raises(StateInUse) as caught:
        opened(tmp_path / "state")
    for word in (str(os.getpid()), os.uname().nodename, "1.2.3", "--state-dir", "since 20"):
        assert word in str(caught.value)
    assert str(os.getpid()) in str(owner(tmp_path / "state"))
    folder.close()
    assert owner(tmp_path / "state") is None
    opened(tmp_path / "state").close()


def test_a_new_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = opened(tmp_path / "state")
    folder.close()
    backup(tmp_path / "state", tmp_path / "copy")
    for made in ("state", "copy"):
        assert (tmp_path / made).stat().st_mode & 0o777 == 0o700, made


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o750)  # as its administrator chose, or a volume's group needs it
    opened(tmp_path / "state").close()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o750


def test_death_lets_go_of_the_folder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from service.state.lock import StateLock\n"
        f"lock = StateLock(Path({str(tmp_path)!r}), '9.9'); print('held', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StateInUse, match=f"process {holder.pid} .* version 9.9"):
            opened(tmp_path)
        holder.kill()
        holder.wait()
        opened(tmp_path).close()


def test_a_lock_file_that_says_nothing_still_locks(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    (tmp_path / "lock").write_bytes(b"\xff\x00")
    with pytest.raises(StateInUse, match="has not named itself"):
        opened(tmp_path)
    folder.close()


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("service.state.lock.fcntl.flock", fail)
    with pytest.raises(StateUnusable, match="without locks"):
        opened(tmp_path)


def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    found = in_mount(
        tmp_path,
        "1m",
        "from pathlib import Path\n"
        "from tests.toys_mounts import read_only\n"
        "from service.state import StateFolder, StateUnusable\n"
        "read_only(FOLDER)\n"
        "for folder in (FOLDER, FOLDER / 'below'):\n"
        "    try:\n"
        "        StateFolder(folder, 'v', 0, print, {})\n"
        "    except StateUnusable as error:\n"
        "        print(error)\n",
    )
    assert found.count("cannot be written (Read-only file system)") == 2
    assert found.count("--state-dir") == 2


def test_a_folder_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "version.json").write_text(json.dumps({"version": 99}))
    with pytest.raises(StateUnusable, match="later version"):
        opened(tmp_path)
    assert owner(tmp_path) is None


def test_steps_are_taken_once_and_in_order(tmp_path: Path) -> None:
    taken = list[int]()
    steps = {number: lambda _, number=number: taken.append(number) for number in (2, 3)}
    opened(tmp_path, migrations=steps).close()
    opened(tmp_path, migrations=steps).close()
    assert taken == [2, 3]
    assert version_of(tmp_path) == 3


def test_finished_audits_of_the_first_version_get_their_digests(tmp_path: Path) -> None:
    audit = tmp_path / "audits" / "abc"
    audit.mkdir(parents=True)
    (audit / "report.json").write_text("{}")
    (audit / "images.parquet").write_bytes(b"rows")
    (tmp_path / "audits" / "running").mkdir()
    opened(tmp_path).close()
    digests = json.loads((audit / MANIFEST).read_text())
    assert digests.keys() == {"report.json", "images.parquet"}
    assert not (tmp_path / "audits" / "running" / MANIFEST).exists()
    (tmp_path / "version.json").unlink()  # the step is taken again, and keeps what there is
    (audit / "report.json").write_text("flipped")
    opened(tmp_path).close()
    assert json.loads((audit / MANIFEST).read_text()) == digests


def test_served_time_goes_on_with_the_next_server(tmp_path: Path) -> None:
    clock = [1000.0]
    first = ServedTime(tmp_path / "s", lambda: clock[0])
    clock[0] += 50
    assert first() == 50
    first.save()
    clock[0] = 7.0  # the machine was started anew
    second = ServedTime(tmp_path / "s", lambda: clock[0])
    clock[0] += 5
    assert second() == 55


@pytest.mark.parametrize("text", ["", "1e9 50", "nan nan", "inf inf", "-5 -5", "50"])
def test_served_time_that_was_spoilt_begins_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "s").write_text(text)
    assert ServedTime(tmp_path / "s", lambda: 3.0)() == 0
