"""Data sets that callers send: named by their content, found again by a later server, and
bounded.
"""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from service.datasets import DatasetError, Datasets, UnknownDataset, open_dataset
from service.datasets.registry import NotAnUpload
from service.datasets.uploads import GROUP_ROWS, Uploads, UploadTooLarge
from service.rpc.handlers.uploads import UploadHandler
from service.rpc.validation import InvalidField
from service.rpc.wire import images as wire_images
from service.rpc.wire import tensors as wire_tensors
from service.state import DataLost, DiskSpace, StorageFull
from striate.v1 import audit_pb2 as pb
from striate.v1 import types_pb2


def png(number: int, side: int = 5, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(
        np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    ).save(buffer, kind)
    return buffer.getvalue()


def sent(
    uploads: Uploads, parts: Sequence[Sequence[tuple[bytes, int]]], classes: Sequence[str] = ()
) -> str:
    upload = uploads.begin(classes)
    try:
        for part in parts:
            upload.add(part)
        return upload.finish()
    finally:
        upload.abandon()


ROWS = [
    (png(number, kind=("PNG", "JPEG", "WEBP")[number % 3]), number % 4) for number in range(150)
]


def test_an_upload_is_a_data_set_for_this_server_and_the_next(tmp_path: Path) -> None:
    first = Datasets({}, tmp_path)
    name = sent(first.uploads, [ROWS], ("a", "b, with a comma", "c", "d"))
    assert name in first.names
    for datasets in (first, Datasets({}, tmp_path)):
        found = datasets.get(name)
        assert [(s.image, s.label) for s in found.read(0, 1000)] == ROWS
        assert (len(found), found.classes, found.label_count) == (
            150,
            ("a", "b, with a comma", "c", "d"),
            4,
        )
        assert found is datasets.get(name) is datasets.get_without_download(name)
        assert datasets.uri(name) == found.uri == name.replace("-", ":")
    (path,) = (tmp_path / "uploads").glob("*.parquet")
    assert pq.ParquetFile(path).num_row_groups == -(-150 // GROUP_ROWS)
    assert len(open_dataset("again", f"parquet:{path}", tmp_path)) == 150  # a file like any other


def test_the_name_is_that_of_the_content(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    name = sent(uploads, [ROWS], ("x", "y", "z", "t"))
    assert name.startswith("upload-")
    assert len(name) == len("upload-") + 16
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    assert sent(uploads, [ROWS[:1], ROWS[1:70], ROWS[70:]], ("x", "y", "z", "t")) == name
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.parquet"]
    assert path.read_bytes() == data
    swapped = [(ROWS[0][0], 1), *ROWS[1:]]
    others = {
        sent(uploads, [ROWS], ("x", "y", "z")),
        sent(uploads, [swapped]),
        sent(uploads, [ROWS]),
        sent(uploads, [ROWS[::-1]]),
    }
    assert len({name, *others}) == 5
    assert sorted(uploads.names) == sorted({name, *others})


def test_what_is_too_large_or_abandoned_leaves_nothing(tmp_path: Path) -> None:
    size = sum(len(image) for image, _ in ROWS)
    sent(Uploads(tmp_path / "fits", size), [ROWS])
    with pytest.raises(UploadTooLarge, match=str(size - 1)):
        sent(Uploads(tmp_path / "not", size - 1), [ROWS])
    assert list((tmp_path / "not").iterdir()) == []
    uploads = Uploads(tmp_path / "dead")
    uploads.begin().add(ROWS)  # and the server dies
    assert len(list((tmp_path / "dead").iterdir())) == 1
    assert Uploads(tmp_path / "dead").names == []
    assert list((tmp_path / "dead").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["upload-0123456789abcdef", "upload-../../x", "upload-", "upload-0123456789ABCDEF"]
)
def test_other_names_are_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownDataset):
        Datasets({}, tmp_path).get(name)


def test_a_damaged_upload_says_so(tmp_path: Path) -> None:
    datasets = Datasets({}, tmp_path)
    name = sent(datasets.uploads, [ROWS])
    (path,) = (tmp_path / "uploads").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DatasetError, match=name):
        datasets.get(name)


def test_a_cut_image_is_found_at_its_use(tmp_path: Path) -> None:
    datasets = Datasets({}, tmp_path)
    name = sent(datasets.uploads, [[ROWS[0], (b"0" * 50, 1)]])
    assert datasets.get(name).read(0, 1)[0].label == 0
    with pytest.raises(DatasetError, match=r"image 1 \('row-1'\) of data set 'upload-"):
        datasets.get(name).read(0, 2)


# Through the method.


def part(
    images: Sequence[bytes] | np.ndarray, labels: Sequence[int], classes: Sequence[str] = ()
) -> pb.UploadDatasetRequest:
    batch = (
        types_pb2.ImageBatch(tensor=wire_tensors.from_array(images))
        if isinstance(images, np.ndarray)
        else types_pb2.ImageBatch(encoded=images)
    )
    return pb.UploadDatasetRequest(images=batch, labels=labels, classes=classes)


def call(datasets: Datasets, parts: Sequence[pb.UploadDatasetRequest]) -> pb.UploadDatasetResponse:
    """UploadDataset's answer to these messages."""

    async def run_in_pool(work: Any, *args: Any) -> Any:
        return await asyncio.to_thread(work, *args)

    async def messages() -> AsyncIterator[pb.UploadDatasetRequest]:
        for one in parts:
            yield one

    compute: Any = SimpleNamespace(run_in_pool=run_in_pool, run_long_in_pool=run_in_pool)
    handler = UploadHandler(compute, datasets)
    return asyncio.run(handler.upload_dataset(messages(), None))  # type: ignore[arg-type]


def test_parts_become_one_data_set(tmp_path: Path) -> None:
    datasets = Datasets({}, tmp_path)
    images, labels = [image for image, _ in ROWS], [label for _, label in ROWS]
    answer = call(
        datasets, [part(images[:100], labels[:100], NAMES), part(images[100:], labels[100:])]
    )
    assert answer.images == 150
    found = datasets.get(answer.dataset)
    assert [(s.image, s.label) for s in found.read(0, 1000)] == ROWS
    assert found.classes == NAMES
    assert call(datasets, [part(images, labels, NAMES)]).dataset == answer.dataset


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_become_pngs_without_loss(tmp_path: Path, channels: int) -> None:
    datasets = Datasets({}, tmp_path)
    levels = np.random.default_rng(0).integers(0, 256, (3, 4, 5, channels), dtype=np.uint8)
    answer = call(datasets, [part(levels, [0, 2, 1])])
    samples = datasets.get(answer.dataset).read(0, 3)
    stored = np.stack([np.asarray(Image.open(io.BytesIO(s.image))) for s in samples]).reshape(
        levels.shape
    )
    assert np.array_equal(stored, levels)
    assert [s.label for s in samples] == [0, 2, 1]


NAMES = ("a", "b", "c", "d")
GOOD = ROWS[0][0]
WRONG: list[tuple[list[pb.UploadDatasetRequest], str]] = [
    ([], "images"),
    ([pb.UploadDatasetRequest(classes=NAMES)], "images"),
    ([part([GOOD], [])], "labels"),
    ([part([GOOD], [1, 2])], "labels"),
    ([part([GOOD], [4], NAMES)], r"labels\[0\]"),
    ([part([GOOD], [100_000])], r"labels\[0\]"),
    ([part([GOOD], [0], ["a", ""])], r"classes\[1\]"),
    ([part([GOOD], [0], ["a" * 201])], r"classes\[0\]"),
    ([part([GOOD], [0], NAMES), part([GOOD], [0], NAMES)], "classes"),
    ([part([GOOD], [0]), part([GOOD, b"GIF89a"], [0, 0])], r"images\.encoded\[2\]"),
    ([part([b""], [0])], r"images\.encoded\[0\]"),
    ([part([GOOD[:8] + b"0" * (16 * 2**20)], [0])], r"images\.encoded\[0\]"),
    ([part(np.zeros((1, 4, 4, 3), np.float32), [0])], r"images\.tensor\.dtype"),
    ([part(np.zeros((1, 4, 4, 2), np.uint8), [0])], r"images\.tensor\.shape"),
    ([part(np.zeros((4, 4, 3), np.uint8), [0] * 4)], r"images\.tensor\.shape"),
]


@pytest.mark.parametrize(("parts", "field"), WRONG)
def test_what_is_wrong_is_named_and_leaves_nothing(
    tmp_path: Path, parts: list[pb.UploadDatasetRequest], field: str
) -> None:
    with pytest.raises((InvalidField, wire_images.InvalidImage), match=rf"^{field}: "):
        call(Datasets({}, tmp_path), parts)
    folder = tmp_path / "uploads"
    assert not folder.exists() or not list(folder.iterdir())


def test_uploads_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    uploads, start = Uploads(tmp_path), threading.Barrier(4)

    def send(number: int) -> str:
        start.wait(30)
        return sent(uploads, [ROWS[number % 2 :][i : i + 7] for i in range(0, 150, 7)])

    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(send, range(4)))
    assert names[0] == names[2] != names[1] == names[3]
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(set(names))


def test_files_that_are_no_images_are_kept_for_those_who_leave_them_out(tmp_path: Path) -> None:
    datasets = Datasets({}, tmp_path)
    message = part([GOOD, b"GIF89a"], [0, 1])
    message.skip_bad = True
    name = call(datasets, [message]).dataset
    data = datasets.get(name)
    assert data.read(0, 1)[0].image == GOOD
    with pytest.raises(DatasetError, match=r"image 1 \('row-1'\) of data set"):
        data.read(1, 1)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_flipped_upload_is_not_served_and_can_be_sent_again(tmp_path: Path) -> None:
    datasets = Datasets({}, tmp_path)
    name = sent(datasets.uploads, [ROWS])
    datasets.get(name)
    path = tmp_path / "uploads" / f"{name}.parquet"
    flip(path, path.read_bytes().index(ROWS[70][0]) + len(ROWS[70][0]) // 2)
    for found in (datasets, Datasets({}, tmp_path)):
        with pytest.raises(DataLost, match="upload it again"):
            found.get(name)
        assert found.get_without_download(name) is not None  # a listing reads no images
    assert sent(datasets.uploads, [ROWS]) == name
    assert [sample.image for sample in datasets.get(name).read(0, 1000)] == [r[0] for r in ROWS]


def test_uploads_are_deleted(tmp_path: Path) -> None:
    datasets = Datasets({"own": "digits"}, tmp_path)
    name = sent(datasets.uploads, [ROWS])
    opened = datasets.get(name)
    size = datasets.uploads.size(name)
    assert size == (tmp_path / "uploads" / f"{name}.parquet").stat().st_size
    assert datasets.delete(name) == size
    assert list((tmp_path / "uploads").iterdir()) == []
    assert name not in datasets.names
    for call in (datasets.get, datasets.delete):
        with pytest.raises(UnknownDataset):
            call(name)
    with pytest.raises(NotAnUpload):
        datasets.delete("own")
    with pytest.raises(DatasetError, match=name):  # who still holds it is told
        opened.read(0, 1000)
    with pytest.raises(UnknownDataset):
        datasets.delete("upload-../../x")


def test_uploads_that_nothing_uses_are_told_by_the_time_served(tmp_path: Path) -> None:
    served = [100.0]
    uploads = Uploads(tmp_path, served=lambda: served[0])
    datasets = Datasets({}, tmp_path, uploads=uploads)
    names = [sent(uploads, [ROWS[:count]]) for count in (1, 2, 3)]
    assert uploads.unused(10) == []  # from now on their age counts
    served[0] += 8
    datasets.get(names[1])
    served[0] += 8
    assert uploads.unused(10) == sorted([names[0], names[2]])
    (tmp_path / f"{names[0]}.used").write_text("spoilt")
    assert uploads.unused(10) == [names[2]]
    later = Uploads(tmp_path, served=lambda: served[0] + 100)
    assert later.unused(10) == sorted(names)


def test_an_upload_ends_where_the_disk_reaches_its_floor(tmp_path: Path) -> None:
    class Shrinking(DiskSpace):
        """A disk that others fill, too."""

        def __init__(self) -> None:
            super().__init__(tmp_path, 10)
            self.left = 12

        @property
        def free(self) -> int:
            self.left -= 1
            return self.left

    uploads = Uploads(tmp_path / "u", space=Shrinking())
    upload = uploads.begin()
    with pytest.raises(StorageFull):
        upload.add(ROWS)
    upload.abandon()
    assert list((tmp_path / "u").iterdir()) == []
    with pytest.raises(StorageFull):
        uploads.begin()
