"""Data sets of one's own on their way to the server."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import grpc
import numpy as np
import pytest

import striate
from striate import images
from striate._api import datasets
from tests.client.fakes.fakes_robustness import UPLOADED
from tests.client.fakes.fakes_server import (
    CLASSES,
    LONG,
    Fake,
    block_until_cancelled,
    failure,
    png,
    reason,
)

Code = grpc.StatusCode
LEVELS = np.random.default_rng(5).integers(0, 256, (21, 4, 5, 3), dtype=np.uint8)


def uploaded(fake: Fake) -> tuple[list[bytes], list[int]]:
    """The images and labels that arrived."""
    pixels = [part.images.tensor.data for part in fake.uploaded]
    files = [file for part in fake.uploaded for file in part.images.encoded]
    return files or pixels, [label for part in fake.uploaded for label in part.labels]


def test_images_of_ones_own_are_uploaded_first(
    fake: Fake, service: striate.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images.batch, "_BUDGET", 8 * 4 * 5 * 3)
    names: list[int | str] = ["cat", "sports car", 2] * 7
    service.audit(["tiny"], images=LEVELS, labels=names, gates={"clean": 0.5})
    assert fake.requests("Audit")[0].dataset == UPLOADED
    pixels, labels = uploaded(fake)
    assert b"".join(pixels) == LEVELS.tobytes()
    assert labels == [0, 1, 2] * 7
    assert [list(part.classes) for part in fake.uploaded] == [list(CLASSES), [], []]
    assert [seen.method for seen in fake.calls] == ["GetModel", "UploadDataset", "Audit"]


def test_upload_reads_files_as_they_travel(
    fake: Fake, service: striate.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate._requests.upload._READ_AT_ONCE", 3)
    paths = [tmp_path / f"{row}.png" for row in range(8)]
    for row, path in enumerate(paths):
        path.write_bytes(png(4, 5, row))
    assert (
        service.upload(
            (path for path in paths), (row % 2 for row in range(8)), classes=["even", "odd"]
        )
        == UPLOADED
    )
    assert uploaded(fake) == ([path.read_bytes() for path in paths], [0, 1] * 4)
    assert [len(part.labels) for part in fake.uploaded] == [3, 3, 2]
    assert [list(part.classes) for part in fake.uploaded] == [["even", "odd"], [], []]


@pytest.mark.parametrize(
    ("labels", "sent"),
    [(5, [5] * 4), (np.array([3, 1, 0, 2]), [3, 1, 0, 2]), (np.int64(1), [1] * 4)],
)
def test_labels_of_an_upload(
    fake: Fake, service: striate.Service, labels: Any, sent: list[int]
) -> None:
    service.upload(LEVELS[:4], labels)
    assert uploaded(fake)[1] == sent
    assert list(fake.uploaded[0].classes) == []


@pytest.mark.parametrize(
    ("given", "labels", "words"),
    [
        (LEVELS, [1] * 20, "are 20, and there are more"),
        (LEVELS, [1] * 22, "21, or a single one for all; are more"),
        (list(LEVELS), [1] * 20, "are 20, and there are more"),
        (LEVELS, None, "labels: are required"),
        (LEVELS, ["cat"] * 21, "no class is called 'cat'"),
        (LEVELS.transpose(0, 3, 1, 2) / 255, 1, "astype"),
        ([], 1, "at least one image"),
        ([b""], 1, "bytes"),
        (5, 1, "is int"),
    ],
)
def test_uploads_that_make_no_sense(
    fake: Fake, service: striate.Service, given: Any, labels: Any, words: str
) -> None:
    with pytest.raises(striate.InvalidArgument, match=words):
        service.upload(given, labels)


def test_what_an_iterable_raises_ends_the_upload(
    fake: Fake, service: striate.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server must not take half a data set for a whole one."""
    monkeypatch.setattr("striate._requests.upload._READ_AT_ONCE", 2)
    cancelled, began = threading.Event(), threading.Event()

    def note(method: str, context: grpc.ServicerContext) -> None:
        context.add_callback(cancelled.set)
        began.set()

    fake.on_call = note
    problem = RuntimeError("the disk is full")

    def source() -> Iterator[Any]:
        yield from LEVELS[:4]
        assert began.wait(LONG)
        raise problem

    with pytest.raises(RuntimeError) as caught:
        service.upload(source(), 1)
    assert caught.value is problem
    assert cancelled.wait(LONG)
    assert len(fake.uploaded) <= 2


def test_what_is_no_exception_ends_an_upload_too(service: striate.Service) -> None:
    def source() -> Iterator[Any]:
        yield LEVELS[0]
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        service.upload(source(), 1, timeout=LONG / 3)


def test_a_missing_file_ends_the_upload(service: striate.Service, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        service.upload([tmp_path / "gone.png"], 1)


def test_an_upload_raises_the_servers_errors_and_is_retried(
    fake: Fake, service: striate.Service
) -> None:
    fake.failures.append(failure(Code.INVALID_ARGUMENT, "no", reason("BAD_IMAGE")))
    with pytest.raises(striate.BadImage):
        service.upload(LEVELS, 1)
    fake.failures.append(failure(Code.UNAVAILABLE, "draining"))
    assert service.upload(LEVELS, 1) == UPLOADED
    assert len(fake.uploaded) == 1
    ended = threading.Event()
    fake.on_call = lambda method, context: block_until_cancelled(context, lambda: None, ended)
    with pytest.raises(striate.DeadlineExceeded):
        service.upload(LEVELS, 1, timeout=0.2)
    assert ended.wait(LONG)


def test_errors_of_an_upload_count_from_its_first_image(
    service: striate.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate._requests.upload._READ_AT_ONCE", 2)
    paths = [tmp_path / f"{row}.png" for row in range(5)]
    for path in paths:
        path.write_bytes(png(4, 5, 1))
    with pytest.raises(striate.InvalidArgument) as caught:
        service.upload(paths, [0, 1, 0, "crane", 1], classes=["even", "odd"])
    assert list(caught.value.fields) == ["labels[3]"]
    assert str(caught.value).startswith(f"labels[3], of {paths[3]}: no class")
    paths[3].write_bytes(b"")
    with pytest.raises(striate.InvalidArgument) as caught:
        service.upload(iter(paths), 1)
    assert list(caught.value.fields) == ["images[3]"]
    assert str(caught.value).startswith(f"{paths[3]}: an encoded image must have")


class RefusingCaller:
    """Takes an upload, and then refuses its fourth image."""

    def feed(self, method: object, requests: Iterable[object], timeout: float | None) -> Any:
        """Ends with an error, once all has been read."""
        list(requests)
        field = "images.encoded[3]"
        raise striate.BadImage(f"{field}: is none", fields={field: "is none"})


def test_an_image_that_the_server_refuses_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate._requests.upload._READ_AT_ONCE", 2)
    paths = [tmp_path / f"{row}.png" for row in range(5)]
    for path in paths:
        path.write_bytes(png(4, 5, 1))
    connection = Mock(caller=RefusingCaller())
    with pytest.raises(striate.BadImage, match=f"^{paths[3]}: is none$"):
        datasets.upload(connection, iter(paths), 1, (), None)
