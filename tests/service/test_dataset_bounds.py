"""What reading and listing data sets leave undone: downloads nobody asked for, and bytes that no message can hold."""

import struct
from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import MNIST

from service.datasets import Dataset, DatasetError, Datasets, Source, UnknownDataset, open_dataset


def test_a_glance_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix in ("train", "t10k"):  # two black digits in the published format
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, 2, 28, 28) + bytes(2 * 28 * 28))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 2) + bytes([1, 2]))
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    uris = {"m": f"torchvision:MNIST?root={tmp_path}&download=false", "n": "torchvision:MNIST", "gone": "imagefolder:/nowhere/at/all"}
    data = Datasets({**uris, "f": f"imagefolder:{tmp_path}"}, tmp_path)
    monkeypatch.setattr(MNIST, "download", lambda _: pytest.fail("was downloaded"))
    assert data.glance("n") is data.glance("m") is None
    assert len(data.get("m")) == 2
    assert data.glance("m") is data.get("m")  # it is open now
    assert data.glance("f") is data.get("f")
    assert data.uri("n") == "torchvision:MNIST"
    with pytest.raises(DatasetError, match="not a folder"):
        data.glance("gone")
    with pytest.raises(UnknownDataset):
        data.glance("f2")


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
        return str(index), b"\xff\xd8\xff" + bytes(97 + index), None  # 100 bytes and more, one more each

    data = Dataset("d", "memory", Source(1000, item))
    assert [s.id for s in data.read(10, 500, most_bytes=110 + 111 + 112)] == [10, 11, 12]
    assert read == [10, 11, 12, 13]
    assert [s.id for s in data.read(998, 500, most_bytes=5000)] == [998, 999]
    assert len(data.read(0, 500)) == 500
    with pytest.raises(DatasetError, match="image 7 of data set 'd' has 107 bytes, more than the 106"):
        data.read(7, 3, most_bytes=106)
