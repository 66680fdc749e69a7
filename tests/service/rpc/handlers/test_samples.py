"""ReadSamples of data sets with images that cannot be used."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.datasets import Dataset, DatasetError, Datasets, Source
from service.rpc.compute import Compute
from service.rpc.handlers.datasets import DatasetHandler
from service.rpc.wire import images as wire_images
from striate.v1 import interpret_pb2 as pb
from tests.service.rpc.toys_studio import CALL

BAD = {0: b"GIF89a, and no more", 4: b"\x89PNG\r\n\x1a\n, and no more"}  # to be read, to be decoded


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    """The digits, and ten of them of which two are bad."""
    opened = Datasets({}, tmp_path)
    source = opened.get("digits").source

    def item(index: int) -> tuple[str, bytes, int | None]:
        name, data, label = source.item(index)
        return name, BAD.get(index, data), label

    opened._uris["spoilt"] = "memory"
    opened._opened["spoilt"] = Dataset("spoilt", "memory", Source(10, item, (), 10))
    return opened


@pytest.fixture
def handler(datasets: Datasets) -> Iterator[DatasetHandler]:
    unused: Any = SimpleNamespace()
    with ThreadPoolExecutor(2) as pool:
        yield DatasetHandler(unused, Compute(unused, pool), datasets, unused, unused)


def read(handler: DatasetHandler, **settings: Any) -> pb.ReadSamplesResponse:
    request = pb.ReadSamplesRequest(dataset="spoilt", **settings)
    return asyncio.run(handler.read_samples(request, CALL))


def ids(response: pb.ReadSamplesResponse) -> tuple[list[int], list[int]]:
    return [one.id for one in response.samples], [one.id for one in response.left_out]


def test_bad_images_are_left_out_by_name(handler: DatasetHandler, datasets: Datasets) -> None:
    asked = read(handler, skip_bad=True)
    datasets._opened["spoilt"] = datasets._opened["spoilt"].skipping_bad()
    for found in (asked, read(handler)):
        assert ids(found) == ([1, 2, 3, 5, 6, 7, 8, 9], [0, 4])
        assert [one.name for one in found.left_out] == ["digit-0000", "digit-0004"]
        assert all("no readable" in one.reason for one in found.left_out)
    assert ids(read(handler, first=4, count=1)) == ([], [4])
    assert ids(read(handler, first=10)) == ([], [])


def test_else_what_cannot_be_read_is_an_error_with_its_name(handler: DatasetHandler) -> None:
    with pytest.raises(DatasetError, match=r"image 0 \('digit-0000'\).*no readable.*skip_bad"):
        read(handler)
    found = read(handler, first=3, count=3)  # as they are stored
    assert [one.image for one in found.samples][1] == BAD[4]
    assert not found.left_out


def test_what_no_message_can_hold_is_named_or_left_out(
    handler: DatasetHandler, datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [len(datasets.get("digits").source.item(number)[1]) for number in range(10)]
    most = sizes[5]
    monkeypatch.setattr(wire_images, "MOST_BYTES", most - 1)
    with pytest.raises(DatasetError, match=r"image 5 \('digit-0005'\) .* bytes, more than"):
        read(handler, first=5, count=1)
    found = read(handler, first=5, count=1, skip_bad=True)
    assert ids(found) == ([], [5])
    assert f"it has {most} bytes" in found.left_out[0].reason
