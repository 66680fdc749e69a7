"""Folders and archives as they are on people's disks: hidden folders, splits, empty arrays."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.datasets import DatasetError, open_dataset


def written(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        Image.new("L", (4, 4)).save(buffer, "PNG")
        (root / name).write_bytes(buffer.getvalue())
    return root


SPLITS = ("train/cat/0.png", "train/dog/1.png", "Val/cat/2.png", "Val/dog/3.png")


def test_hidden_folders_inside_a_class_hold_no_images(tmp_path: Path) -> None:
    hidden = ("cat/.ipynb_checkpoints/0-checkpoint.png", ".cache/1.png", "cat/a/.thumbs/0.png")
    root = written(tmp_path / "pets", "cat/0.png", "cat/a/1.png", *hidden)
    data = open_dataset("d", f"imagefolder:{root}", tmp_path)
    assert [sample.name for sample in data.read(0, len(data))] == ["cat/0.png", "cat/a/1.png"]


def test_splits_are_no_classes(tmp_path: Path) -> None:
    root = written(tmp_path / "pets", *SPLITS)
    told = r"holds the splits Val, train, whose own folders are the classes: name one, such as "
    with pytest.raises(DatasetError, match=rf"{told}imagefolder:{root}/Val"):
        open_dataset("d", f"imagefolder:{root}", tmp_path)
    assert open_dataset("d", f"imagefolder:{root}/train", tmp_path).classes == ("cat", "dog")
    archive = shutil.make_archive(str(tmp_path / "pets"), "zip", root)
    with pytest.raises(DatasetError, match=r"holds the splits .*choose one by \?folder=Val"):
        open_dataset("d", f"zip:{archive}", tmp_path)
    assert open_dataset("d", f"zip:{archive}?folder=Val", tmp_path).classes == ("cat", "dog")


def test_classes_that_are_called_like_splits_stay_classes(tmp_path: Path) -> None:
    root = written(tmp_path / "results", "test/0.png", "train/1.png")
    assert open_dataset("d", f"imagefolder:{root}", tmp_path).classes == ("test", "train")


def test_an_array_of_no_image_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz", x=np.zeros((0, 4, 4), np.uint8), y=np.zeros(0, int))
    with pytest.raises(DatasetError, match=r"none.npz' holds no image: .*shape \(0, 4, 4\)"):
        open_dataset("d", f"npz:{tmp_path / 'none.npz'}", tmp_path)


def test_an_option_that_was_probably_meant_is_told(tmp_path: Path) -> None:
    root = written(tmp_path / "pets", "cat/0.png")
    told = r"unknown option 'clases'; it has classes, on_error; did you mean classes\?"
    with pytest.raises(DatasetError, match=told):
        open_dataset("d", f"imagefolder:{root}?clases=x", tmp_path)


def test_a_parquet_file_that_is_a_pointer_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    with pytest.raises(DatasetError, match=r"a\.parquet' is a pointer of Git LFS, not the file"):
        open_dataset("d", f"parquet:{tmp_path / 'a.parquet'}", tmp_path)
