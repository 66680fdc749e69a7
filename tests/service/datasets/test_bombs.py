"""Small files that stand for much memory, and files that shrink under whoever reads them: each
would have taken gigabytes, or ended the process.
"""

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.lib import format as npy

from service.datasets import DatasetError, open_dataset
from service.datasets.tables import parquet_bounds, text
from service.imaging import png

PICTURE = png(np.zeros((4, 4), np.uint8))
GIGABYTES = 3 * 2**30


def refused(scheme: str, file: Path, match: str) -> None:
    with pytest.raises(DatasetError, match=match):
        open_dataset("d", f"{scheme}:{file}", file.parent).read(0, 1)


def write_npz(file: Path, shape: tuple[int, ...], values: bytes, method: int) -> None:
    """An archive of an array whose header promises a shape, whatever follows."""
    member = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": shape}
    npy.write_array_header_2_0(member, about)
    member.write(values)
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("images.npy", member.getvalue())


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_arrays_that_promise_more_than_they_have(tmp_path: Path, method: int) -> None:
    write_npz(tmp_path / "a.npz", (10**12, 4, 4), bytes(100), method)
    refused("npz", tmp_path / "a.npz", r"images.npy.*promises 16000000000128 bytes and has 228")


def test_arrays_that_unpack_to_a_thousand_times_their_size(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", (2**16, 32, 32), bytes(2**26), zipfile.ZIP_DEFLATED)
    refused("npz", tmp_path / "a.npz", r"would unpack from \d+ to 67108992 bytes, more than 1000")


@pytest.mark.parametrize("head", [b"path,label\n", b""])
def test_lines_without_an_end(tmp_path: Path, head: bytes) -> None:
    with (tmp_path / "a.csv").open("wb") as file:
        file.write(head)
        file.truncate(GIGABYTES)
    refused("csv", tmp_path / "a.csv", r"a.csv' has a line of more than 1048576 characters")


def test_tables_of_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MOST_ROWS", 10)
    (tmp_path / "a.csv").write_text("path\n" + "a.png\n" * 50)
    refused("csv", tmp_path / "a.csv", "a.csv' has more than 10 rows")


def test_members_of_a_tar_that_are_no_picture_in_size(tmp_path: Path) -> None:
    with (tmp_path / "a.tar").open("wb") as file:
        member = tarfile.TarInfo("0.png")
        member.size = GIGABYTES
        file.write(member.tobuf())
        file.truncate(512 + GIGABYTES + 1024)  # without a block on the disk
    refused("webdataset", tmp_path / "a.tar", r"\('0'\).* it has 3221225472 bytes; at most 268")


def test_class_names_without_an_end(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    with (tmp_path / "names").open("wb") as file:
        file.truncate(GIGABYTES)
    with pytest.raises(DatasetError, match="more than 67108864 characters"):
        open_dataset("d", f"imagefolder:{tmp_path}?classes={tmp_path}/names", tmp_path)


def dictionary(value: Any, count: int) -> pa.DictionaryArray:
    """One value in many rows, which the file holds once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([value]))


def write_parquet(file: Path, **columns: Any) -> None:
    pq.write_table(pa.table(columns), file, compression="zstd", store_schema=False)


def peak_of(uri: str) -> int:
    """Megabytes that a process of its own takes at the most to open and read a data set."""
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from service.datasets import open_dataset\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "data = open_dataset('d', sys.argv[1], Path('/nowhere')); data.read(0, 1)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    command = [sys.executable, "-c", program, uri]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(found.stdout)


def test_one_picture_in_many_rows_is_held_once(tmp_path: Path) -> None:
    picture = PICTURE + bytes(10 * 2**20)
    write_parquet(tmp_path / "a.parquet", image=dictionary(picture, 200))
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    assert peak_of(f"parquet:{tmp_path}/a.parquet") < 300
    (first, *_, last) = open_dataset("d", f"parquet:{tmp_path}/a.parquet", tmp_path).read(0, 200)
    assert first.image == last.image == picture


def test_a_label_that_is_no_name(tmp_path: Path) -> None:
    label = dictionary("x" * 2**20, 300)
    write_parquet(tmp_path / "a.parquet", image=pa.array([PICTURE] * 300), label=label)
    refused("parquet", tmp_path / "a.parquet", "a label of 1048576 bytes")
    (tmp_path / "a.csv").write_text(f"path,label\na.png,{'x' * 20_000}\n")
    refused("csv", tmp_path / "a.csv", "a label of 20000 characters, more than 10000")


def test_columns_with_dictionaries_are_read_as_they_were(tmp_path: Path) -> None:
    """Over several row groups, each with a dictionary of its own, in structs, and with nulls."""
    names = [None if n % 7 == 0 else f"class {n % 5}" for n in range(100)]
    pictures = [png(np.full((4, 4), n % 3, np.uint8)) for n in range(100)]
    rows = [{"bytes": picture, "path": f"{n % 4}.png"} for n, picture in enumerate(pictures)]
    table = pa.table({"image": rows, "label": names, "name": [f"n{n % 9}" for n in range(100)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=30)
    data = open_dataset("d", f"parquet:{tmp_path}/a.parquet", tmp_path)
    samples = data.read(0, 100)
    assert [sample.image for sample in samples] == pictures
    assert [sample.name for sample in samples] == [f"n{n % 9}" for n in range(100)]
    found = [None if s.label is None else data.classes[s.label] for s in samples]
    assert found == names


def test_row_groups_that_unpack_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_bounds, "MOST_GROUP_BYTES", 2**20)
    table = pa.table({"image": [PICTURE + bytes(2**16)] * 100})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    refused("parquet", tmp_path / "a.parquet", r"column image would unpack from \d+ to \d+ bytes")


def test_rows_that_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_bounds, "MOST_ROWS", 150)
    for name in "ab":
        write_parquet(tmp_path / f"{name}.parquet", image=pa.array([PICTURE] * 100))
    refused("parquet", tmp_path / "*.parquet", r"parquet' has 200 rows, more than 150")


@pytest.mark.parametrize("images", [True, False])
def test_tensors_of_one_value_that_stand_for_a_billion(tmp_path: Path, images: bool) -> None:
    """As `expand` makes them, and torch.save keeps them."""
    many = torch.zeros(1, dtype=torch.uint8).expand(10**9, 4, 4)
    labels = torch.zeros(1, dtype=torch.int64).expand(10**9)
    held = {"images": many if images else torch.zeros(2, 4, 4, dtype=torch.uint8), "labels": labels}
    torch.save(held, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 10_000
    refused("pt", tmp_path / "a.pt", r"1000000000,.*\) promises \d+ bytes and has \d+$")


@pytest.mark.parametrize("form", ["npy", "npz", "pt"])
def test_files_that_shrink_do_not_end_the_process(tmp_path: Path, form: str) -> None:
    images = np.zeros((4000, 32, 32, 3), np.uint8)
    file = tmp_path / f"a.{form}"
    {
        "npy": lambda: np.save(file, images),
        "npz": lambda: np.savez(file, images=images),
        "pt": lambda: torch.save(torch.from_numpy(images), file),
    }[form]()
    program = (
        "import os, sys; from pathlib import Path; from service.datasets import open_dataset\n"
        "data = open_dataset('d', sys.argv[1], Path('/nowhere'))\n"
        "os.truncate(sys.argv[2], 5000)\n"
        "try: data.read(3000, 1)\n"
        "except Exception as error: print(error)"
    )
    uri = f"{'pt' if form == 'pt' else 'npz'}:{file}"
    command = [sys.executable, "-c", program, uri, str(file)]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert found.returncode == 0, found
    assert f"{file.name}' is shorter than when it was opened, 5000 bytes" in found.stdout
