"""What is in a state folder, by whose it is."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any as Packed

from service.auth.identity import EVERYONE, Identity, Role, acting_as
from service.datasets.uploads import Uploads
from service.operations import OperationStore
from service.state import command
from service.state.survey import Owned, survey

ANN, BOB = Identity("ann", Role.COMPUTE), Identity("bob", Role.COMPUTE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of two callers, and of a time without keys."""
    store = OperationStore(tmp_path / "operations.sqlite")
    for caller, count in ((ANN, 2), (BOB, 1), (EVERYONE, 1)):
        for _ in range(count):
            name = store.insert("Audit", Packed(), Packed(), caller).name
    report = tmp_path / "audits" / name.removeprefix("operations/") / "report.json"
    report.parent.mkdir(parents=True)
    report.write_bytes(bytes(1000))
    store.close()
    for caller in (ANN, EVERYONE):
        with acting_as(caller):
            upload = Uploads(tmp_path / "datasets" / "uploads").begin()
            upload.add([(b"image", 1)])
            upload.finish()
            upload.abandon()
    return tmp_path


def test_what_belongs_to_whom(folder: Path) -> None:
    found = survey(folder).owners
    uploads = {path: path.stat().st_size for path in folder.glob("datasets/uploads/*.parquet")}
    owned = [size for path, size in uploads.items() if path.with_suffix(".json").exists()]
    (mine,) = owned
    assert found == {
        "ann": Owned(2, 1, mine),
        "bob": Owned(1, 0, 0),
        "": Owned(1, 1, 1000 + sum(uploads.values()) - mine),
    }
    assert survey(folder).orphans == {}


def test_the_command_tells_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["check", "--json"], folder, "1", {})
    owners = json.loads(capsys.readouterr().out)["owners"]
    assert owners["bob"] == {"operations": 1, "uploads": 0, "bytes": 0}
    command.main(["check"], folder, "1", {})
    lines = capsys.readouterr().out.splitlines()
    assert "of bob: 1 operations, 0 uploads, 0 bytes" in lines
    assert any(line.startswith("of nobody in particular: 1 operations, 1 up") for line in lines)


def test_folders_of_before_belong_to_nobody(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "operations.sqlite")) as database:
        database.execute("ALTER TABLE operations DROP COLUMN owner")
        database.commit()
    found = survey(folder)
    assert found.owners[""].operations == 4
    assert found.database == ""


def test_what_is_left_of_an_upload_is_needed_by_nobody(folder: Path) -> None:
    (path,) = folder.glob("datasets/uploads/*.json")
    path.with_suffix(".parquet").unlink()
    assert list(survey(folder).orphans) == [path]
