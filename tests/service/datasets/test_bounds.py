"""What reading and listing data sets leave undone: downloads nobody asked for, and bytes that no
message can hold.
"""

import os
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torchvision.datasets import MNIST

from service.datasets import Dataset, DatasetError, Datasets, Source, UnknownDataset, open_dataset
from striate.v1 import interpret_pb2 as pb


def test_a_glance_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix in ("train", "t10k"):  # two black digits in the published format
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, 2, 28, 28) + bytes(2 * 28 * 28)
        )
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, 2) + bytes([1, 2])
        )
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    uris = {
        "m": f"torchvision:MNIST?root={tmp_path}&download=false",
        "n": "torchvision:MNIST",
        "gone": "imagefolder:/nowhere/at/all",
    }
    data = Datasets({**uris, "f": f"imagefolder:{tmp_path}"}, tmp_path)
    monkeypatch.setattr(MNIST, "download", lambda _: pytest.fail("was downloaded"))
    assert data.get_without_download("n") is data.get_without_download("m") is None
    assert len(data.get("m")) == 2
    assert data.get_without_download("m") is data.get("m")  # it is open now
    assert data.get_without_download("f") is data.get("f")
    assert data.uri("n") == "torchvision:MNIST"
    with pytest.raises(DatasetError, match="not a folder"):
        data.get_without_download("gone")
    with pytest.raises(UnknownDataset):
        data.get_without_download("f2")


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DatasetError, match=r"'f'.*Permission denied"):
        open_dataset("f", f"imagefolder:{tmp_path}", tmp_path)


def test_no_more_is_read_than_fits() -> None:
    read: list[int] = []

    def item(index: int) -> tuple[str, bytes, int | None]:
        read.append(index)
        return (
            str(index),
            b"\xff\xd8\xff" + bytes(97 + index),
            None,
        )  # 100 bytes and more, one more each

    data = Dataset("d", "memory", Source(1000, item))
    assert [s.id for s in data.read(10, 500, most_bytes=110 + 111 + 112)] == [10, 11, 12]
    assert read == [10, 11, 12, 13]
    assert [s.id for s in data.read(998, 500, most_bytes=5000)] == [998, 999]
    assert len(data.read(0, 500)) == 500
    with pytest.raises(
        DatasetError, match=r"image 7 \('7'\) of data set 'd' .* 107 bytes, more than the 106"
    ):
        data.read(7, 3, most_bytes=106)


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")  # as Latin-1 has it
    (tmp_path / name).mkdir()
    Image.new("L", (3, 2), 7).save(tmp_path / "plain.png")
    (tmp_path / "plain.png").rename(tmp_path / name / f"{name}.png")
    data = open_dataset("d", f"imagefolder:{tmp_path}", tmp_path)
    (sample,) = data.read(0, 1)
    assert data.classes == ("caf\ufffd",)
    assert sample.name == "caf\ufffd/caf\ufffd.png"
    assert pb.Dataset(classes=data.classes).classes == ["caf\ufffd"]  # a message takes it
    assert pb.Sample(name=sample.name, image=sample.image).name == sample.name


def test_labels_of_parquet_files_are_bounded(tmp_path: Path) -> None:
    for label, fits in ((999_999, True), (1_000_000, False), (2**40, False)):
        pq.write_table(pa.table({"image": [b""], "label": [label]}), tmp_path / "a.parquet")
        if fits:
            assert (
                open_dataset("d", f"parquet:{tmp_path}/a.parquet", tmp_path).label_count
                == label + 1
            )
        else:
            with pytest.raises(DatasetError, match=f"has label {label}, more than 999999"):
                open_dataset("d", f"parquet:{tmp_path}/a.parquet", tmp_path)


def test_a_parquet_file_that_changes_after_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": [b"\xff\xd8\xff"] * 10}), path)
    data = open_dataset("d", f"parquet:{path}", tmp_path)
    latin = pa.Array.from_buffers(pa.string(), 4, pa.array([b"\xff"] * 4, pa.binary()).buffers())
    for columns in (
        {"image": [b"\xff\xd8\xff"] * 4},
        {"image": [b"\xff\xd8\xff"] * 4, "name": latin},
    ):
        pq.write_table(pa.table(columns), path)
        data = open_dataset("d", f"parquet:{path}", tmp_path) if "name" in columns else data
        with pytest.raises(DatasetError, match="not what it was when it was opened, or damaged"):
            data.read(0 if "name" in columns else 7, 1)
