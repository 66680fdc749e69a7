"""Names, links and odd files of data sets: what leads out of the folder is refused, by name."""

import os
import stat
import threading
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from service.datasets import Dataset, DatasetError, open_dataset
from service.datasets.inside import inside, read_inside
from service.datasets.samples import LeftOut, read_or_leave_out
from service.imaging import png

SECRET = png(np.full((4, 4), 7, np.uint8))
GOOD = png(np.full((4, 4), 200, np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one picture, beside a secret one."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.png").write_bytes(SECRET)
    inner = tmp_path / "data"
    inner.mkdir()
    (inner / "good.png").write_bytes(GOOD)
    return inner


def opened(uri: str, tmp_path: Path) -> Dataset:
    return open_dataset("d", uri, tmp_path)


def check_one_is_refused(dataset: Dataset, bad: str) -> None:
    """The picture of a name is refused by name, the others are read, and `skip` leaves it out."""
    names = {}
    for number in range(len(dataset)):
        found = read_or_leave_out(dataset.skipping_bad(), number, lambda sample: sample)
        names[found.name] = found
    assert isinstance(names.pop(bad), LeftOut)
    assert names
    assert not any(isinstance(one, LeftOut) for one in names.values())
    with pytest.raises(DatasetError, match=f"'{bad}'.* (outside|link)"):
        dataset.read(0, len(dataset))


def test_a_link_that_leaves_an_image_folder(folder: Path) -> None:
    (folder / "out.png").symlink_to("../secret/s.png")
    check_one_is_refused(opened(f"imagefolder:{folder}", folder), "out.png")


def test_a_folder_of_a_class_that_is_a_link(folder: Path) -> None:
    (folder / "cat").mkdir()
    (folder / "good.png").rename(folder / "cat" / "good.png")
    (folder / "owl").symlink_to("../secret")
    check_one_is_refused(opened(f"imagefolder:{folder}", folder), "owl/s.png")


def test_links_within_a_folder_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "again.png").symlink_to("good.png")
    outer = tmp_path / "link"
    outer.symlink_to(folder)  # as may be the folder itself
    images = [sample.image for sample in opened(f"imagefolder:{outer}", tmp_path).read(0, 9)]
    assert images == [GOOD, GOOD]


@pytest.mark.parametrize("name", ["out.png", "../secret/s.png"])
def test_a_table_that_leads_out(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / "out.png").symlink_to("../secret/s.png")
    (folder / "t.csv").write_text(f"path\ngood.png\n{name}\n")
    check_one_is_refused(opened(f"csv:{folder}/t.csv", tmp_path), name)


def test_parquet_paths_that_lead_out(folder: Path, tmp_path: Path) -> None:
    (folder / "out.png").symlink_to("../secret/s.png")
    rows = [{"bytes": None, "path": name} for name in ("good.png", "out.png")]
    table = pa.table({"image": rows, "name": ["good.png", "out.png"]})
    pq.write_table(table, folder / "t.parquet")
    check_one_is_refused(opened(f"parquet:{folder}/t.parquet", tmp_path), "out.png")


def test_a_link_in_a_zip_archive(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("out.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.png", GOOD)
        archive.writestr(link, "../secret/s.png")
    check_one_is_refused(opened(f"zip:{tmp_path}/a.zip", tmp_path), "out.png")


def test_what_would_never_end_is_no_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(ValueError, match=r"pipe.png' is no plain file"):
        read_inside(folder, "pipe.png")
    (folder / "cat").mkdir()
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "good.png").rename(folder / "cat" / "good.png")
    (folder / "pipe.png").unlink()
    errors: list[DatasetError] = []

    def read() -> None:
        try:
            opened(f"imagefolder:{folder}", folder).read(0, 2)
        except DatasetError as error:
            errors.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert "pipe.png' is no plain file" in str(errors[0])


def test_files_too_large_to_be_one_picture(folder: Path) -> None:
    with (folder / "huge.png").open("wb") as file:
        file.truncate(2**40)  # without a block on the disk
    with pytest.raises(ValueError, match=r"huge.png' has 1099511627776 bytes; at most 268435456"):
        read_inside(folder, "huge.png")


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "a/../../b", "..\\b", "a\0b"])
def test_names_that_lead_out(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"outside|no path"):
        inside(folder, name)


def test_pictures_under_false_names_reach_no_other_plugin(folder: Path) -> None:
    file = folder / "fake.eps"
    Image.new("RGB", (4, 4)).save(file)
    file.rename(folder / "fake.png")
    with pytest.raises(DatasetError, match=r"fake\.png.*no readable PNG"):
        opened(f"imagefolder:{folder}", folder).read(0, 9)
