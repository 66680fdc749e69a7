"""Data sets, against the files that they were made from."""

import gzip
import io
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from torchvision.datasets import MNIST

from service.datasets import (
    DatasetError,
    Datasets,
    Sample,
    UnknownDataset,
    class_indices,
    digits,
    named_classes,
    open_dataset,
)

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def encoded(
    colour: tuple[int, int, int], form: str = "PNG", size: tuple[int, int] = (3, 2)
) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, form)
    return buffer.getvalue()


def pixels(sample: Sample) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sample.image)))


def test_digits_are_scikit_learns() -> None:
    bunch = load_digits()
    images, labels = digits()
    assert (images.shape, images.dtype) == ((1797, 1, 32, 32), torch.uint8)
    assert labels.tolist() == bunch.target.tolist()
    # Enlarged 4 times without shifting: block means give back the counts, but for what the filter
    # overshoots and is cut.
    means = images[:, 0].double().reshape(-1, 8, 4, 8, 4).mean((2, 4)).numpy() * 16 / 255
    assert np.abs(means - bunch.images).mean() < 1
    assert np.corrcoef(means.ravel(), bunch.images.ravel())[0, 1] > 0.98


def test_digits_as_a_data_set(tmp_path: Path) -> None:
    images, labels = digits()
    whole = open_dataset("d", "digits", tmp_path)
    assert (len(whole), whole.classes, whole.labelled, whole.label_count) == (
        1797,
        tuple("0123456789"),
        True,
        10,
    )
    for sample in whole.read(1790, 100):
        assert (pixels(sample) == images[sample.id, 0].numpy()).all()
        assert sample.label == labels[sample.id]
    parts = [
        open_dataset("d", f"digits?split={split}", tmp_path) for split in ("train", "held-out")
    ]
    names = [{sample.name for sample in part.read(0, 1797)} for part in parts]
    assert names[0].isdisjoint(names[1])
    assert names[0] | names[1] == {sample.name for sample in whole.read(0, 1797)}
    assert [sample.name for sample in parts[1].read(0, 2)] == [
        whole.read(4, 1)[0].name,
        whole.read(9, 1)[0].name,
    ]


def test_photo_patches_are_cut_from_the_photographs(tmp_path: Path) -> None:
    photos = dict(zip(("china", "flower"), load_sample_images().images, strict=True))
    patches = open_dataset("p", "photo-patches", tmp_path)
    assert 300 <= len(patches) <= 1500
    assert not patches.labelled
    samples = patches.read(0, len(patches))
    assert len({sample.name for sample in samples}) == len(samples)
    for sample in samples[::97]:
        patch = pixels(sample)
        assert patch.shape[0] == patch.shape[1]
        photo = photos[sample.name.split("/")[0]]
        windows = np.lib.stride_tricks.sliding_window_view(photo[:, :, 0], patch.shape[:2])
        assert (windows[::32, ::32] == patch[:, :, 0]).all((2, 3)).any()
        assert sample.label is None


def test_reading_stops_at_the_end(tmp_path: Path) -> None:
    data = open_dataset("d", "digits", tmp_path)
    assert [sample.id for sample in data.read(1795, 10)] == [1795, 1796]
    assert data.read(1797, 3) == data.read(0, 0) == []
    with pytest.raises(ValueError, match="at least 0"):
        data.read(-1, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, one of them nested, and files that are no images."""
    files = {
        "b_cat/z.png": encoded(RED),
        "b_cat/deep/a.jpg": encoded(GREEN, "JPEG"),
        "a dog/1.bmp": encoded(BLUE, "BMP"),
        "a dog/notes.txt": b"no image",
        ".hidden/x.png": encoded(RED),
    }
    for name, data in files.items():
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(data)
    return tmp_path / "images"


def test_a_folder_of_classes(folder: Path, tmp_path: Path) -> None:
    data = open_dataset("f", f"imagefolder:{folder}", tmp_path)
    samples = data.read(0, 10)
    assert data.classes == ("a dog", "b_cat")
    assert [(s.id, s.name, s.label) for s in samples] == [
        (0, "a dog/1.bmp", 0),
        (1, "b_cat/deep/a.jpg", 1),
        (2, "b_cat/z.png", 1),
    ]
    assert samples[1].image == (folder / "b_cat/deep/a.jpg").read_bytes()  # as stored
    assert samples[0].image.startswith(b"\x89PNG")  # a bitmap leaves as PNG
    assert (pixels(samples[0]) == BLUE).all()


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    for name in ("b.png", "a.webp"):
        (tmp_path / name).write_bytes(encoded(RED, name[-4:].strip(".").upper()))
    data = open_dataset("f", f"imagefolder:{tmp_path}", tmp_path)
    assert [(s.name, s.label) for s in data.read(0, 5)] == [("a.webp", None), ("b.png", None)]
    assert (data.labelled, data.classes) == (False, ())


def test_folders_that_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'f'.*is not a folder"):
        open_dataset("f", "imagefolder:/nowhere/at/all", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds no image"):
        open_dataset("f", f"imagefolder:{tmp_path / 'empty'}", tmp_path)
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    with pytest.raises(DatasetError, match="2 class folders, but 3 class names"):
        open_dataset("f", f"imagefolder:{folder}?classes={tmp_path / 'names.txt'}", tmp_path)
    data = open_dataset("f", f"imagefolder:{folder}", tmp_path)
    (folder / "b_cat/z.png").unlink()
    with pytest.raises(
        DatasetError, match=r"image 2 \('b_cat/z.png'\) of data set 'f' .*No such file"
    ):
        data.read(0, 3)
    (folder / "a dog/1.bmp").write_bytes(b"BMnonsense")
    with pytest.raises(
        DatasetError, match=r"image 0 \('a dog/1.bmp'\) of data set 'f' .*no readable"
    ):
        data.read(0, 1)
    (folder / "stray.png").write_bytes(encoded(RED))
    with pytest.raises(DatasetError, match="keep either"):
        open_dataset("f", f"imagefolder:{folder}", tmp_path)


def write_parquet(
    path: Path, columns: dict[str, pa.Array], classes: str = "", group: int = 3
) -> None:
    table = pa.table(columns)
    pq.write_table(
        table.replace_schema_metadata({"classes": classes} if classes else None),
        path,
        row_group_size=group,
    )


def test_parquet_shards_are_one_data_set(tmp_path: Path) -> None:
    images = [encoded((shade, 0, 0)) for shade in range(10)]
    for shard, rows in enumerate((range(7), range(7, 10))):
        columns = {
            "label": pa.array([row % 3 for row in rows], pa.int32()),
            "name": pa.array([f"n{row}" for row in rows]),
            "extra": pa.array([0.5 for _ in rows]),
            "image": pa.array([images[row] for row in rows], pa.binary()),
        }
        write_parquet(tmp_path / f"shard-{shard}.parquet", columns, "x, y,z")
    data = open_dataset("p", f"parquet:{tmp_path}/shard-?.parquet", tmp_path)
    assert (len(data), data.classes, data.label_count) == (10, ("x", "y", "z"), 3)
    assert data.read(0, 99) == [Sample(row, f"n{row}", images[row], row % 3) for row in range(10)]
    for first in (9, 2, 6, 0):  # in any order, over the ends of row groups and files
        assert [s.image for s in data.read(first, 4)] == images[first : first + 4]


def test_parquet_without_labels_and_with_nested_images(tmp_path: Path) -> None:
    nested = pa.array([{"bytes": encoded(RED), "path": "a"}, {"bytes": None, "path": "b"}])
    write_parquet(tmp_path / "a.parquet", {"image": nested})
    data = open_dataset("p", f"parquet:{tmp_path}/a.parquet", tmp_path)
    assert data.read(0, 1) == [Sample(0, "row-0", encoded(RED), None)]
    assert not data.labelled
    with pytest.raises(DatasetError, match=r"image 1 \('row-1'\) of data set 'p'.*null"):
        data.read(1, 1)


def test_a_negative_label_is_no_label(tmp_path: Path) -> None:
    write_parquet(
        tmp_path / "a.parquet",
        {"image": pa.array([encoded(RED)] * 3), "label": pa.array([1, -1, None], pa.int64())},
    )
    data = open_dataset("p", f"parquet:{tmp_path}/a.parquet", tmp_path)
    assert [sample.label for sample in data.read(0, 3)] == [1, None, None]
    assert (data.label_count, data.classes) == (2, ())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"left": pa.array([b"x"]), "right": pa.array([b"x"])},
            "needs a column image of bytes; it has left: binary, right: binary.*image=COLUMN",
        ),
        ({"image": pa.array(["x"])}, "needs a column image of bytes"),
        ({"image": pa.array([b"x"]), "label": pa.array([[1]])}, "column label .* not integers"),
        ({"image": pa.array([b"x"]), "name": pa.array([1])}, "column name .* not strings"),
        ({"image": pa.array([b"x"]), "label": pa.array([10])}, "label 10, but only 10 class names"),
    ],
)
def test_parquet_that_does_not_fit(
    tmp_path: Path, columns: dict[str, pa.Array], message: str
) -> None:
    write_parquet(tmp_path / "a.parquet", columns)
    with pytest.raises(DatasetError, match=message):
        open_dataset("p", f"parquet:{tmp_path}/a.parquet?classes=cifar10", tmp_path)


def test_parquet_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no file matches"):
        open_dataset("p", f"parquet:{tmp_path}/*.parquet", tmp_path)
    (tmp_path / "bad.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(DatasetError, match=r"bad\.parquet"):
        open_dataset("p", f"parquet:{tmp_path}/*.parquet", tmp_path)


def test_parquet_of_cifar(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "cifar10" / "test.parquet"
    data = open_dataset("test", f"parquet:{path}", tmp_path)
    table = pq.read_table(path)
    assert len(data) == table.num_rows
    assert data.classes == named_classes("cifar10")
    rows = table.slice(998, 5).to_pylist()
    assert [(s.image, s.label, s.name) for s in data.read(998, 5)] == [
        (r["image"], r["label"], r["name"]) for r in rows
    ]


def write_mnist(root: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """MNIST's test files in their published format."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, *images.shape) + images.tobytes()
        )
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, len(labels)) + labels.tobytes()
        )


def test_torchvision_arrays(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    write_mnist(tmp_path, images, np.array([3, 1, 4, 1], dtype=np.uint8))
    data = open_dataset(
        "m", f"torchvision:MNIST?root={tmp_path}&train=false&download=false", tmp_path / "other"
    )
    assert [s.label for s in data.read(0, 9)] == [3, 1, 4, 1]
    assert (np.stack([pixels(s) for s in data.read(0, 9)]) == images).all()
    assert data.classes == tuple("0123456789")


def test_torchvision_downloads_from_a_file_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = np.zeros((2, 28, 28), dtype=np.uint8), np.array([7, 8], dtype=np.uint8)
    write_mnist(tmp_path / "made", images, labels)
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for file in (tmp_path / "made/MNIST/raw").iterdir():
        (shelf / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(MNIST, "resources", [(name, None) for name, _ in MNIST.resources])
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=shelf)
    ) as files:
        threading.Thread(target=files.serve_forever).start()
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{files.server_port}/"])
        try:
            data = open_dataset("m", "torchvision:MNIST?train=true", tmp_path / "cache")
        finally:
            files.shutdown()
    assert [s.label for s in data.read(0, 9)] == [7, 8]
    assert (tmp_path / "cache/torchvision/MNIST/raw").is_dir()


def test_torchvision_image_files_leave_as_they_are(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val")):
        for wnid in ("n01440764", "n02102040"):
            place = tmp_path / "imagenette2-160" / split / wnid
            place.mkdir(parents=True)
            (place / "a.JPEG").write_bytes(encoded((number, 0, 0), "JPEG"))
    data = open_dataset(
        "i", f"torchvision:Imagenette?root={tmp_path}&size=160px&split=val&download=false", tmp_path
    )
    assert data.classes == ("tench", "English springer")
    samples = data.read(0, 5)
    assert [(s.label, s.image) for s in samples] == [
        (0, encoded((1, 0, 0), "JPEG")),
        (1, encoded((1, 0, 0), "JPEG")),
    ]
    assert samples[1].name == "imagenette2-160/val/n02102040/a.JPEG"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("torchvision:CIFAR10", "unpickling.*parquet"),
        ("torchvision:Kinetics", "'Kinetics' is not read; these are: .*MNIST"),
        ("torchvision:MNIST?download=false", "not found"),
        ("torchvision:MNIST?download=false&transform=x", "no option 'transform'; it has: train"),
        ("torchvision:", "use one of"),
        ("imagefolder:", "use one of"),
        ("webdataset:x.tar", "no file matches 'x.tar'"),
        ("webdatasets:x.tar", "use one of .*webdataset:GLOB"),
        ("/data/pets.npz", r"use one of .*; is npz:/data/pets\.npz meant\?"),
        ("/", r"is imagefolder:/ meant\?"),
        ("digits?split=test", "split must be one of all, train, held-out"),
        ("digits?size=3", "unknown option 'size'"),
        ("parquet:x.parquet?classes=/nowhere", "neither cifar10"),
    ],
)
def test_uris_that_are_refused(uri: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        open_dataset("mine", uri, tmp_path)
    assert "'mine'" in str(caught.value)


def test_what_bad_samples_do_is_said_by_the_uri_or_else_by_the_setting(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(RED))
    uri = f"imagefolder:{tmp_path}"
    uris = {
        "plain": uri,
        "skip": f"{uri}?on_error=skip",
        "fail": f"{uri}?on_error=fail",
        "d": "digits?split=train&on_error=skip",
        "wrong": f"{uri}?on_error=ignore",
    }
    for default in (False, True):
        data = Datasets(uris, tmp_path, default)
        assert [data.get(name).skip_bad for name in ("plain", "skip", "fail", "d")] == [
            default,
            True,
            False,
            True,
        ]
        with pytest.raises(DatasetError, match="on_error must be fail or skip, not 'ignore'"):
            data.get("wrong")
    assert data.get("fail").skipping_bad().skip_bad  # one call may say so


def test_names_are_looked_up(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(RED))
    data = Datasets({"mine": f"imagefolder:{tmp_path}"}, tmp_path)
    assert data.names == ("digits", "photo-patches", "mine")
    assert len(data.get("mine")) == 1
    assert data.get("mine") is data.get("mine")
    with pytest.raises(UnknownDataset) as caught:
        data.get("photo_patches")
    assert caught.value.nearest[0] == "photo-patches"


def test_labels_are_mapped_by_name() -> None:
    model = ("Tabby Cat", "great_white-shark", "crane", "crane", "dog")
    assert class_indices(("dog", "tabbycat", "Great White Shark", "wolf"), model, 4) == [
        4,
        0,
        1,
        -1,
    ]
    assert class_indices(("crane",), model, 1) == [-1]  # which of the two?
    assert class_indices(("crane", "dog", "crane"), model, 3) == [2, 4, 3]
    imagenet = named_classes("imagenet")  # has two cranes and two maillots
    assert class_indices(imagenet, imagenet, 1000) == list(range(1000))


def test_first_synonyms_are_compared_where_whole_names_leave_labels_over() -> None:
    model = ("tench", "goldfish", "maillot", "maillot", "rock, sand")
    synonyms = (
        "goldfish, Carassius auratus",
        "maillot",
        "Tench, Tinca tinca",
        "maillot, tank suit",
    )
    assert class_indices(synonyms, model, 4) == [1, 2, 0, 3]
    assert class_indices(("rock, sand", "tench"), model, 2) == [4, 0]  # as they are


def test_labels_without_names_are_mapped_by_number() -> None:
    assert class_indices((), ("a", "b", "c"), 3) == [0, 1, 2]
    assert class_indices((), ("a", "b", "c"), 2) == [0, 1]  # the last class may not occur
    assert class_indices((), ("a", "b", "c"), 4) == [-1] * 4
    assert class_indices((), ("a", "b", "c"), 0) == []


def test_class_names_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("héron\n\n crane \n", encoding="utf-8")
    assert named_classes(str(tmp_path / "n.txt")) == ("héron", "crane")
    (tmp_path / "n.txt").write_text("\n")
    with pytest.raises(DatasetError, match="empty"):
        named_classes(str(tmp_path / "n.txt"))
