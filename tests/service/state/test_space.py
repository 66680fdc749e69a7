"""Full disks and floors."""

import errno
import sqlite3
from pathlib import Path

import pytest

from service.rpc.errors import status_of
from service.state import DiskSpace, StorageFull, StorageReadOnly, storage_error
from tests.toys_mounts import in_mount


def raised_from(cause: BaseException) -> BaseException:
    try:
        try:
            raise cause
        except BaseException as error:
            raise ValueError("it cannot be kept") from error
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageFull),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), StorageFull),
        (OSError(errno.EROFS, "Read-only file system"), StorageReadOnly),
        (raised_from(OSError(errno.ENOSPC, "x")), StorageFull),
        (OSError(errno.ENOENT, "No such file"), None),
        (ValueError("a text that says: No space left on device"), None),
        (sqlite3.OperationalError("no such table"), None),
    ],
)
def test_errors_of_disks_are_told_from_others(
    error: BaseException, kind: type[BaseException] | None
) -> None:
    found = storage_error(error)
    assert type(found) is (type(None) if kind is None else kind)
    status = status_of(error, "id")
    code = {StorageFull: 8, StorageReadOnly: 9, None: 13}[kind]  # type: ignore[index]
    assert status.code == code
    assert ("then ask again" in status.message) is (kind is not None)


def test_a_floor_refuses_new_work(tmp_path: Path) -> None:
    space = DiskSpace(tmp_path / "not" / "there", 0)
    space.require()
    free = space.free
    assert free > 0
    with pytest.raises(StorageFull, match=f"{2 * free} stay free .*disk_floor_bytes"):
        DiskSpace(tmp_path, 2 * free).require()
    with pytest.raises(StorageFull):
        DiskSpace(tmp_path, 1).require(2 * free)


WRITES = """
import numpy as np, torch
from service import files
from service.state import storage_error
from service.index.files import Files
from service.audit.journal import Journal
from service.audit.parquet_file import ParquetFile
from service.datasets.uploads import Uploads
from service.operations import OperationStore
from google.protobuf.any_pb2 import Any
import pyarrow as pa

store = OperationStore(FOLDER / "o.sqlite")
(FOLDER / "filler").write_bytes(b"x" * (3 * 2**20))

def parquet():
    with ParquetFile(FOLDER / "p", {"a": pa.binary()}, "none") as file:
        file.add({"a": [b"y" * 2**21]})

def upload():
    upload = Uploads(FOLDER / "uploads").begin()
    try:
        upload.add([(bytes([n]) * 2**20, 0) for n in range(20)])
        upload.finish()
    finally:
        upload.abandon()

def met():
    from service.audit import journal
    journal._write_arrays(FOLDER / "met", {"a": np.zeros(2**21, np.uint8)}, {})

for write in (
    lambda: files.write(FOLDER / "f", b"z" * 2**21),
    lambda: Files(str(FOLDER / "i"), FOLDER / "c").save("t", {}, {"a": torch.zeros(2**20)}),
    parquet, upload, met,
    lambda: store.insert("k", Any(value=b"q" * 2**21), Any()),
):
    try:
        write()
        print("written")
    except Exception as error:
        print(type(storage_error(error)).__name__)
files = [path.name for path in FOLDER.rglob("*") if path.is_file()]
print([name for name in files if "sqlite" not in name and not name.endswith(".place")])
(FOLDER / "filler").unlink()
print(store.insert("k", Any(value=b"q" * 2**20), Any()).state)
"""


def test_every_writer_says_that_a_disk_is_full_and_leaves_nothing(tmp_path: Path) -> None:
    *said, left, later = in_mount(tmp_path, "4m", WRITES).splitlines()
    assert said == ["StorageFull"] * 6
    assert left == "['filler']"
    assert later == "running"
