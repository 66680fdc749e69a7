"""Arrays in files of NumPy and torch, against the arrays that were written."""

import io
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import TensorDataset

from service.datasets import Dataset, DatasetError, open_dataset
from service.datasets.array_files import npz

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (5, 6, 7), np.uint8)
COLOUR = RNG.integers(0, 256, (5, 6, 7, 3), np.uint8)
KINDS = np.array([2, 0, 1, -1, 0])
LABELS = [2, 0, 1, None, 0]


def opened(uri: str) -> Dataset:
    return open_dataset("d", uri, Path("/nowhere"))


def pixels(data: Dataset) -> NDArray[Any]:
    return np.stack([np.asarray(Image.open(io.BytesIO(s.image))) for s in data.read(0, 100)])


def labels(data: Dataset) -> list[int | None]:
    return [sample.label for sample in data.read(0, 100)]


def write(path: Path, arrays: dict[str, NDArray[Any]], packed: bool = False) -> Path:
    (np.savez_compressed if packed else np.savez)(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GRAY, GRAY),
        (COLOUR, COLOUR),
        (np.asfortranarray(COLOUR), COLOUR),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR),
        (GRAY[:, None], GRAY),
        (GRAY[..., None], GRAY),
        (GRAY.astype(np.int64), GRAY),
        ((COLOUR / 255).astype(np.float32), COLOUR),
        (GRAY > 99, 255 * (GRAY > 99)),
        (GRAY.astype(np.uint16) * 257, GRAY.astype(np.uint16) * 257),
        (COLOUR.astype(np.uint16) * 257, COLOUR),
    ],
)
def test_layouts_and_types(
    tmp_path: Path, images: NDArray[Any], expected: NDArray[Any], packed: bool
) -> None:
    path = write(tmp_path / "a.npz", {"x": images, "y": KINDS[:, None]}, packed)
    data = opened(f"npz:{path}")
    assert np.array_equal(pixels(data), expected)
    assert (labels(data), data.label_count, data.classes) == (LABELS, 3, ())
    if images.dtype != np.uint16:
        kept = torch.from_numpy(np.ascontiguousarray(images))
        torch.save((kept, torch.from_numpy(KINDS)), tmp_path / "a.pt")
        assert np.array_equal(pixels(opened(f"pt:{tmp_path}/a.pt")), expected)
        assert labels(opened(f"pt:{tmp_path}/a.pt")) == LABELS


def test_uncompressed_arrays_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = "numpy.lib.format.read_array"
    monkeypatch.setattr(read, lambda *_, **__: pytest.fail("was read into memory"))
    path = write(tmp_path / "a.npz", {"images": COLOUR, "labels": KINDS})
    assert np.array_equal(pixels(opened(f"npz:{path}")), COLOUR)
    np.save(tmp_path / "a.npy", GRAY)
    single = opened(f"npz:{tmp_path}/a.npy")
    assert np.array_equal(pixels(single), GRAY)
    assert not single.labelled


def test_arrays_are_found_by_their_names_or_named(tmp_path: Path) -> None:
    arrays = {"x_train": GRAY, "y_train": KINDS, "x_test": 255 - GRAY, "y_test": KINDS[::-1]}
    path = write(tmp_path / "a.npz", arrays)
    test = opened(f"npz:{path}?split=test")
    assert np.array_equal(pixels(test), 255 - GRAY)
    assert labels(test) == LABELS[::-1]
    assert labels(opened(f"npz:{path}?image=x_test&label=y_train")) == LABELS
    with pytest.raises(DatasetError, match=r"which array .* 'x_train', 'y_train'.*\?split=test"):
        opened(f"npz:{path}")
    with pytest.raises(DatasetError, match="no array 'z'; it has 'x_train'"):
        opened(f"npz:{path}?image=z")
    with pytest.raises(DatasetError, match=r"\?image=KEY"):
        opened(f"npz:{write(tmp_path / 'b.npz', {'p': GRAY, 'q': KINDS})}")
    alone = opened(f"npz:{write(tmp_path / 'c.npz', {'images': GRAY, 'kind': KINDS})}")
    assert not alone.labelled
    assert "name it by ?label=KEY" in alone.source.unlabelled


def test_names_as_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", {"x": GRAY, "y": np.array(["owl", "cat", "", "cat", "elk"])})
    data = opened(f"npz:{path}")
    assert (data.classes, labels(data)) == (("cat", "elk", "owl"), [2, 0, None, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": GRAY[0], "y": KINDS}, r"shape \(6, 7\): it must be \(N, H, W\)"),
        ({"x": GRAY.reshape(5, 42, 1, 1)[:, :, 0], "y": KINDS[:2]}, r"labels .* \(2,\) for 5"),
        ({"x": COLOUR[..., :2], "y": KINDS}, "it must be"),
        (
            {"x": COLOUR[:, :3], "y": KINDS},
            "first or last.*layout=nchw",
        ),
        ({"x": GRAY / 100, "y": KINDS}, r"values from .*must be from 0 to 1; divide by 255"),
        ({"x": GRAY / 255 - 1, "y": KINDS}, "must be from 0 to 1$"),
        ({"x": np.full((5, 6, 7), np.nan), "y": KINDS}, "must be from 0 to 1$"),
        ({"x": GRAY.astype(np.int32) * 2, "y": KINDS}, "must be from 0 to 255"),
        ({"x": GRAY, "y": np.eye(5)}, r"one-hot rows become labels by argmax\(1\)"),
        ({"x": GRAY, "y": KINDS + 0.5}, "not a whole number"),
        ({"x": GRAY, "y": KINDS + 2**40}, "more than 999999"),
        ({"x": np.array([{}, {}]), "y": KINDS}, "pickled objects, which are never loaded"),
        ({"x": GRAY.astype(complex), "y": KINDS}, "complex128, not numbers"),
    ],
)
def test_arrays_that_are_no_images(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        opened(f"npz:{write(tmp_path / 'a.npz', arrays)}")


def test_an_open_layout_is_said(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (2, 3, 7, 3), np.uint8)
    path = write(tmp_path / "a.npz", {"x": images})
    assert np.array_equal(pixels(opened(f"npz:{path}?layout=nhwc")), images)
    assert np.array_equal(pixels(opened(f"npz:{path}?layout=nchw")), images.transpose(0, 2, 3, 1))
    with pytest.raises(DatasetError, match="layout must be nhwc or nchw"):
        opened(f"npz:{path}?layout=hwc")


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.npz", {"x": GRAY, "y": KINDS}, packed=True)
    monkeypatch.setattr(npz, "MOST_UNPACKED", 100)
    with pytest.raises(DatasetError, match=r"compressed and has .* numpy\.savez"):
        opened(f"npz:{path}")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DatasetError, match=r"a\.npz' is no file of arrays"):
        opened(f"npz:{path}")
    with pytest.raises(DatasetError, match="No such file"):
        opened("npz:/nowhere/a.npz")
    with pytest.raises(DatasetError, match="No such file"):
        opened("pt:/nowhere/a.pt")


def test_mappings_and_single_tensors(tmp_path: Path) -> None:
    images, kinds = torch.from_numpy(GRAY), torch.from_numpy(KINDS)
    held: list[Any] = [
        {"images": images, "labels": kinds, "classes": ["a", "b", "c"]},
        OrderedDict(x=images, targets=kinds),
        [images, kinds],
        {"data": images, "labels": [2, 0, 1, -1, 0]},
    ]
    for each in held:
        torch.save(each, tmp_path / "a.pt")
        data = opened(f"pt:{tmp_path}/a.pt")
        assert (labels(data), np.array_equal(pixels(data), GRAY)) == (LABELS, True)
    torch.save(held[0], tmp_path / "a.pt")
    assert opened(f"pt:{tmp_path}/a.pt").classes == ("a", "b", "c")
    torch.save(images, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    alone = opened(f"pt:{tmp_path}/a.pt")
    assert (np.array_equal(pixels(alone), GRAY), alone.labelled) == (True, False)


class _Mark:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_other_objects_are_never_unpickled(tmp_path: Path) -> None:
    images, kinds = torch.from_numpy(GRAY), torch.from_numpy(KINDS)
    for held in (TensorDataset(images, kinds), (images, _Mark(tmp_path / "ran"))):
        torch.save(held, tmp_path / "a.pt")
        with pytest.raises(DatasetError, match=r"never unpickled.*torch\.save\(\(images, labels\)"):
            opened(f"pt:{tmp_path}/a.pt")
    np.savez(tmp_path / "a.npz", x=GRAY, y=np.array([_Mark(tmp_path / "ran")] * 5))
    with pytest.raises(DatasetError, match="pickled objects"):
        opened(f"npz:{tmp_path}/a.npz")
    assert not (tmp_path / "ran").exists()


def test_another_content_has_another_fingerprint(tmp_path: Path) -> None:
    for scheme, name in (("npz", "a.npz"), ("pt", "a.pt")):
        contents = set()
        for images in (GRAY, 255 - GRAY):
            if scheme == "npz":
                write(tmp_path / name, {"x": images})
            else:
                torch.save(torch.from_numpy(images), tmp_path / name)
            contents.add(opened(f"{scheme}:{tmp_path}/{name}").content)
        assert len(contents) == 2
        assert "" not in contents
