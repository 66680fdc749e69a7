"""WebDataset shards, made with tarfile and compared with what tarfile extracts from them."""

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.datasets import Dataset, DatasetError, Sample, open_dataset

Members = Sequence[tuple[str, bytes]]


def picture(shade: int, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (shade, 0, 0)).save(buffer, form)
    return buffer.getvalue()


def write(path: Path, members: Members, form: int = tarfile.GNU_FORMAT, mode: str = "w") -> Path:
    with tarfile.open(path, mode, format=form) as tar:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def opened(pattern: Path, options: str = "") -> Dataset:
    return open_dataset("w", f"webdataset:{pattern}{options}", pattern.parent)


def test_shards_are_one_data_set_in_sorted_order(tmp_path: Path) -> None:
    write(tmp_path / "b.tar", [("9.png", picture(9)), ("9.cls", b"1")])
    write(
        tmp_path / "a.tar",
        [
            ("0.jpg", picture(0, "JPEG")),
            ("0.cls", b" 2\n"),
            ("1.webp", picture(1, "WEBP")),
            ("1.cls", b"0"),
        ],
    )
    for name in "fdegc":  # folders list their files in any order
        write(tmp_path / f"{name}.tar", [(f"{name}.png", picture(ord(name)))])
    data = opened(tmp_path / "?.tar")
    expected: list[tuple[str, bytes, int | None]] = [
        ("0", picture(0, "JPEG"), 2),
        ("1", picture(1, "WEBP"), 0),
        ("9", picture(9), 1),
    ]
    expected += [(name, picture(ord(name)), None) for name in "cdefg"]
    assert data.read(0, 99) == [Sample(number, *sample) for number, sample in enumerate(expected)]
    assert [data.read(number, 1)[0].name for number in (2, 0, 1)] == ["9", "0", "1"]
    assert (len(data), data.label_count, data.classes) == (8, 3, ())
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".tar"]


def test_members_may_come_in_any_order(tmp_path: Path) -> None:
    members = [
        ("./train/1.cls", b"4"),
        ("./train/0.txt", b"a caption"),
        ("./train/1.JPG", picture(1, "JPEG")),
        ("README", b"read me"),
        ("./train/0.json", b'{"label": 3, "text": "x"}'),
        ("test/0.json", b'{"label": null}'),
        ("test/1.mask.png", picture(7)),
        ("./train/0.png", picture(0)),
        ("._0.png", b"what a Mac leaves"),
        ("test/0.png", picture(2)),
        ("test/1.cls", b"9"),
        ("test/2.cls", b"-3"),
        ("test/2.png", picture(5)),
        ("test/3.png", picture(6)),
        ("test/4.png", picture(8)),
        ("test/4.json", b"[]"),
        ("test/5.json", b'{"label": 1}'),
        ("test/5.cls", b"2"),
        ("test/5.png", picture(3)),
    ]
    data = opened(write(tmp_path / "a.tar", members))
    found = [(s.name, s.image, s.label) for s in data.read(0, 99)]
    assert found == [
        ("train/1", picture(1, "JPEG"), 4),
        ("train/0", picture(0), 3),
        ("test/0", picture(2), None),
        ("test/2", picture(5), None),
        ("test/3", picture(6), None),
        ("test/4", picture(8), None),
        ("test/5", picture(3), 2),
    ]
    assert data.label_count == 5


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read_in_place(tmp_path: Path, form: int) -> None:
    folder = "a" * 90 if form == tarfile.USTAR_FORMAT else "long/" * 60 + "größe"
    drawn = np.random.default_rng(form)
    members = [
        (f"{folder}/{number}.png", picture(number) + drawn.bytes(int(drawn.integers(2000))))
        for number in range(20)
    ]
    path = write(tmp_path / "a.tar", members, form)
    data = opened(path)
    with tarfile.open(path) as tar:
        for index in drawn.permutation(20):
            (sample,) = data.read(int(index), 1)
            file = tar.extractfile(f"{sample.name}.png")
            assert file is not None
            assert sample.image == file.read() == members[index][1]
    assert not data.labelled


def test_class_names_are_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", [("0.png", picture(0)), ("0.cls", b"7")])
    assert opened(path, "?classes=digits").classes == tuple("0123456789")
    assert opened(path, "?classes=digits").label_count == 10
    assert (
        opened(write(tmp_path / "b.tar", [("0.png", picture(0))]), "?classes=digits").classes == ()
    )


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            [("0.png", b"x"), ("0.jpg", b"x")],
            r"sample '0' in .*a\.tar' has several members that could be its image",
        ),
        ([("0.png", b"x"), ("0.cls", b"1"), ("0.cls", b"2")], r"sample '0' .* could be its cls"),
        ([("0.png", b"x"), ("0.cls", b"cat")], r"label of sample '0' in .*a\.tar' cannot be read"),
        ([("0.png", b"x"), ("0.cls", b"")], r"label of sample '0' .* cannot be read"),
        ([("0.png", b"x"), ("0.cls", b"1000000")], "label 1000000 is more than 999999"),
        ([("0.png", b"x"), ("0.cls", b"1" * 5000)], "label of sample '0'"),
        ([("0.png", b"x"), ("0.cls", b" " * 2**20 + b"1")], "has 1048577 bytes"),
        ([("0.png", b"x"), ("0.json", b'{"label": "cat"}')], "label 'cat' is not a whole number"),
        ([("0.png", b"x"), ("0.json", b'{"label": true}')], "label 'True' is not a whole number"),
        ([("0.png", b"x"), ("0.json", b"{label}")], "label of sample '0'"),
        ([("0.png", b"x"), ("0.json", b"[" * 100_000)], "nested too deeply"),
        ([("0.png", b"x"), ("0.cls", b"10")], "label 10, but only 10 class names"),
        ([("0.txt", b"x"), ("0.a.png", b"x")], "holds no image"),
        ([], "holds no image"),
    ],
)
def test_samples_that_do_not_fit(tmp_path: Path, members: Members, message: str) -> None:
    path = write(tmp_path / "a.tar", members)
    with pytest.raises(DatasetError, match=message) as caught:
        opened(path, "?classes=digits")
    assert str(path) in str(caught.value)


def test_links_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", [("0.png", picture(0))])
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("1.png")
        link.type, link.linkname = tarfile.LNKTYPE, "0.png"
        tar.addfile(link)
    with pytest.raises(DatasetError, match=r"'1\.png' in .*a\.tar' is no plain file"):
        opened(path)


@pytest.mark.parametrize(("mode", "name"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_compressed_shards_are_refused(tmp_path: Path, mode: str, name: str) -> None:
    path = write(tmp_path / "a.tar", [("0.png", picture(0))], mode=mode)
    with pytest.raises(DatasetError, match=rf"a\.tar' is compressed \({name}\)"):
        opened(path)


def test_a_shard_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.tar",
        [("x" * 150 + ".png", picture(0)), ("1.png", picture(1)), ("1.cls", b"1")],
    )
    whole = path.read_bytes()
    end = (
        whole.rindex(b"1") // 512 * 512 + 512
    )  # behind the data of the last member: what follows are zeros alone
    for length in [*range(0, end, 173), *range(512, end + 1, 512)]:
        path.write_bytes(whole[:length])
        with pytest.raises(DatasetError, match=r"a\.tar' is"):
            opened(path)
    path.write_bytes(whole[: end + 512])
    assert len(opened(path)) == 2


def test_damage_is_told_or_harmless(tmp_path: Path) -> None:
    members = [
        (f"{'long/' * 30}{number}.{kind}", data)
        for number in range(3)
        for kind, data in (("png", picture(number)), ("cls", b"1"))
    ]
    drawn = np.random.default_rng(0)
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        whole = write(tmp_path / "a.tar", members, form).read_bytes()
        refused = 0
        for _ in range(150):
            harmed = bytearray(whole)
            place = int(drawn.integers(len(whole.rstrip(b"\0")) // 512)) * 512 + int(
                drawn.integers(160)
            )  # names and sizes too
            harmed[place] = int(drawn.integers(256))
            (tmp_path / "a.tar").write_bytes(harmed)
            try:
                opened(tmp_path / "a.tar").read(0, 3)
            except DatasetError:
                refused += 1
        assert refused > 30
    (tmp_path / "a.tar").write_bytes(gzip.compress(b"")[2:] + drawn.bytes(5000))
    with pytest.raises(DatasetError, match="no tar"):
        opened(tmp_path / "a.tar")


def test_a_shard_that_shrinks_later(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", [("0.png", picture(0)), ("1.png", picture(1))])
    data = opened(path)
    path.write_bytes(path.read_bytes()[:1540])
    assert data.read(0, 1)[0].image == picture(0)
    with pytest.raises(
        DatasetError, match=r"image 1 \('1'\) of data set 'w' cannot be read: .*a\.tar' is shorter"
    ):
        data.read(1, 1)
    path.unlink()
    with pytest.raises(DatasetError, match=r"image 0 \('0'\) of data set 'w'"):
        data.read(0, 1)


def test_a_large_header_pass_reads_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counted(io.FileIO):
        bytes_read = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            Counted.bytes_read += len(data or b"")
            return data or b""

    path = write(tmp_path / "a.tar", [(f"{number}.png", bytes(100_000)) for number in range(20)])
    monkeypatch.setattr(
        "service.datasets.webdataset.open", lambda path, mode: Counted(path), raising=False
    )
    assert len(opened(path)) == 20
    assert Counted.bytes_read < 0.05 * path.stat().st_size
