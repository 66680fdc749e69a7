"""Zip archives, against the pictures that were put into them."""

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from service.datasets import Dataset, DatasetError, open_dataset, zip_archive


def encoded(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (30, 20), shade).save(buffer, "BMP")
    return buffer.getvalue()


def opened(uri: str) -> Dataset:
    return open_dataset("d", uri, Path("/nowhere"))


def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def shade(data: Dataset, number: int) -> object:
    return Image.open(io.BytesIO(data.read(number, 1)[0].image)).getpixel((0, 0))


PETS = {
    f"{pet}/{number}.bmp": encoded(first + number)
    for pet, first in (("owl", 0), ("cat", 10))
    for number in range(3)
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("around", ["", "pets/", "a/b/"])
def test_folders_are_classes(tmp_path: Path, method: int, around: str) -> None:
    others = {
        "__MACOSX/owl/._0.bmp": b"x",
        f"{around}owl/.hidden.bmp": b"x",
        f"{around}owl/": b"",
        f"{around}notes.txt": b"x",
    }
    members = {around + name: data for name, data in PETS.items()} | others
    data = opened(f"zip:{write(tmp_path / 'a.zip', members, method)}")
    assert data.classes == ("cat", "owl")
    assert [(s.name, s.label) for s in data.read(0, 9)] == [
        (name, int(name.startswith("owl"))) for name in sorted(PETS)
    ]
    with ThreadPoolExecutor(4) as pool:  # reads from several threads do not disturb each other
        found = list(pool.map(lambda number: shade(data, number % 6), range(60)))
    assert found == [10, 11, 12, 0, 1, 2] * 10


def test_flat_archives_and_folders_of_splits(tmp_path: Path) -> None:
    flat = opened(f"zip:{write(tmp_path / 'a.zip', {'b.bmp': encoded(1), 'a.bmp': encoded(2)})}")
    assert [(s.name, s.label) for s in flat.read(0, 9)] == [("a.bmp", None), ("b.bmp", None)]
    members = {
        f"{split}/{name}": data for split in ("train", "test") for name, data in PETS.items()
    }
    path = write(tmp_path / "b.zip", members)
    with pytest.raises(DatasetError, match=r"the splits test, train, .*\?folder=test"):
        opened(f"zip:{path}")
    test = opened(f"zip:{path}?folder=test")
    assert (len(test), test.classes) == (6, ("cat", "owl"))
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    with pytest.raises(DatasetError, match="2 class folders, but 3 class names"):
        opened(f"zip:{path}?folder=test&classes={tmp_path}/names.txt")
    with pytest.raises(DatasetError, match="holds no image below 'val'"):
        opened(f"zip:{path}?folder=val")
    mixed = write(tmp_path / "c.zip", {**PETS, "x.bmp": encoded(1)})
    with pytest.raises(DatasetError, match=r"keep either, or choose a folder by \?folder=cat"):
        opened(f"zip:{mixed}")


def test_bombs_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.bmp", encoded(1))
        archive.writestr("a/2.bmp", bytes(20 * 2**20), compresslevel=9)
    monkeypatch.setattr(
        zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("something was unpacked")
    )
    monkeypatch.setattr(zip_archive, "MOST_RATIO", 100)
    with pytest.raises(DatasetError, match=r"'a/2\.bmp' .* would unpack from \d+ to 20971520"):
        opened(f"zip:{path}")
    monkeypatch.undo()
    for limit, value, message in (
        ("MOST_IMAGE_BYTES", 20 * 2**20 - 1, "at most 20971519"),
        ("MOST_BYTES", 20 * 2**20, "would unpack to"),
        ("MOST_IMAGES", 1, "holds 2 images, more than 1"),
    ):
        with monkeypatch.context() as lowered:
            lowered.setattr(zip_archive, limit, value)
            with pytest.raises(DatasetError, match=message):
                opened(f"zip:{path}")


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DatasetError, match="is no zip archive"):
        opened(f"zip:{path}")
    write(path, {"x/a.bmp": encoded(1), "x/b.bmp": encoded(2)}, zipfile.ZIP_STORED)
    raw = path.read_bytes()
    place = raw.index(encoded(2)) + 40
    path.write_bytes(raw[:place] + b"\xff" + raw[place + 1 :])
    data = opened(f"zip:{path}")
    assert shade(data, 0) == 1
    with pytest.raises(DatasetError, match=r"image 1 \('x/b\.bmp'\).*Bad CRC"):
        data.read(1, 1)
    before = data.content
    write(path, {"x/a.bmp": encoded(3)})
    assert opened(f"zip:{path}").content != before


def test_an_encrypted_image_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"x/a.bmp": encoded(1)}, zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(DatasetError, match=r"'x/a\.bmp' .* is encrypted"):
        opened(f"zip:{path}")
