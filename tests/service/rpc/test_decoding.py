"""Images of requests: counted by their headers, refused before anything is decoded, and read as
they always were.
"""

import asyncio
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from service.imaging import Preprocessing, decode, picture_files, png
from service.imaging.decoding import LEAST, DecodeLimits, PoolBusy
from service.rpc.compute import Compute
from service.rpc.context import caller
from service.rpc.errors import status_of
from service.rpc.wire import images as wire_images
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire.images import InvalidImage
from service.rpc.wire.pixel_counts import image_batches, together
from striate.v1 import types_pb2
from striate.v1 import visualize_pb2 as pb

GRAY = Preprocessing(1, 8, 8, 8, "bilinear", (0.5,), (0.5,))
LIMITS = DecodeLimits(image=100 * LEAST, request=150 * LEAST, server=200 * LEAST)


def flat(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


MILLION = flat(1024, 1024)  # 64 times LEAST


def encoded(*files: bytes) -> types_pb2.ImageBatch:
    return types_pb2.ImageBatch(encoded=files)


@contextmanager
def computing() -> Iterator[Compute]:
    with ThreadPoolExecutor(2) as pool:
        yield Compute(cast(Any, None), pool, limits=LIMITS)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What has been decoded, beyond its header."""
    found: list[object] = []
    load = picture_files._converted

    def converted(image: Image.Image, convert: Callable[[Image.Image], Any]) -> Any:
        found.append(image)
        return load(image, convert)

    monkeypatch.setattr(picture_files, "_converted", converted)
    return found


def test_a_request_of_too_many_pixels_is_refused_before_any_is_decoded(
    opened: list[object],
) -> None:
    with (
        computing() as compute,
        pytest.raises(InvalidImage, match=rf"encoded\[2\].*{3 * 2**20} pixels.*{LIMITS.request}"),
    ):
        asyncio.run(compute.decode_images(encoded(*[MILLION] * 3), GRAY))
    assert opened == []
    assert compute.budget.pixels == 0


def test_an_image_of_too_many_pixels_is_named(opened: list[object]) -> None:
    batch = encoded(MILLION, flat(1300, 1300))
    with (
        computing() as compute,
        pytest.raises(InvalidImage, match=r"\[1\]: .*1300 x 1300.*1638400"),
    ):
        asyncio.run(compute.decode_images(batch, GRAY))
    assert opened == []


def test_what_an_image_is_resized_to_counts() -> None:
    long = flat(1, 40_000)  # 40,000 pixels, of which resizing makes 64 times as many
    with computing() as compute, pytest.raises(InvalidImage, match=r"encoded\[0\]: .*2560000"):
        asyncio.run(compute.decode_images(encoded(long), GRAY))
    array = np.zeros((3, 20_000, 1, 1), np.uint8)
    batch = types_pb2.ImageBatch(tensor=wire_tensors.from_array(array))
    with computing() as compute, pytest.raises(InvalidImage, match=r"images.tensor: .*3840000"):
        asyncio.run(compute.decode_images(batch, GRAY))


def test_the_server_s_limit_says_when_to_come_back(opened: list[object]) -> None:
    async def scenario(compute: Compute) -> None:
        batch = encoded(*[MILLION] * 2)
        async with compute.decoding(batch, GRAY):  # 128 of 200
            with pytest.raises(PoolBusy) as found:
                await compute.decode_images(batch, GRAY)
            status = status_of(found.value, "id")
            assert status.code == 8
            assert "google.rpc.RetryInfo" in {one.TypeName() for one in status.details}
            assert opened == []
            patient = asyncio.create_task(compute.decode_images(batch, GRAY, patient=True))
            await asyncio.sleep(0.05)
            assert not patient.done()
        assert (await patient).shape == (2, 1, 8, 8)
        assert compute.budget.pixels == 0

    with computing() as compute:
        asyncio.run(scenario(compute))


def test_images_of_all_fields_count_together() -> None:
    request = pb.VisualizeRequest(start=encoded(MILLION))
    for _ in range(2):
        term = request.composed.add().terms.add()
        term.likeness.image.CopyFrom(encoded(MILLION))
    likeness = [f"composed[{n}].terms[0].likeness.image" for n in (0, 1)]
    assert [field for field, _ in image_batches(request)] == [*likeness, "start"]

    async def admit(compute: Compute) -> None:
        caller.set("one call")
        async with compute.admitting(request, GRAY):
            pass

    with computing() as compute, pytest.raises(InvalidImage, match=f"{3 * 2**20} pixels"):
        asyncio.run(admit(compute))
    assert compute.budget.pixels == 0


@pytest.mark.parametrize("count", [1, 63, 300])
def test_images_decoded_in_turns_are_those_decoded_at_once(count: int) -> None:
    rng = np.random.default_rng(count)
    levels = rng.integers(0, 256, (count, 20, 17, 3), dtype=np.uint8)
    files = encoded(*(png(one.transpose(2, 0, 1)) for one in levels))
    array = types_pb2.ImageBatch(tensor=wire_tensors.from_array(levels))
    roomy = DecodeLimits()
    with ThreadPoolExecutor(2) as pool:
        compute = Compute(cast(Any, None), pool, limits=roomy)
        for batch in (files, array):
            found = asyncio.run(compute.decode_images(batch, GRAY))
            assert torch.equal(found, wire_images.decode_batch(batch, GRAY))
    one = torch.tensor(GRAY.apply(decode(files.encoded[-1]))).float() / 255
    assert torch.equal(found[-1], one)


def test_small_images_are_decoded_together_and_large_ones_alone() -> None:
    counts = [LEAST] * 100 + [2**22, LEAST, 2**22]
    parts = list(together(counts, range(len(counts))))
    assert [number for part in parts for number in part] == list(range(len(counts)))
    assert parts == [range(64), range(64, 100), range(100, 101), range(101, 102), range(102, 103)]
    assert list(together(counts, range(98, 101))) == [range(98, 100), range(100, 101)]


def test_a_call_that_has_gone_gives_its_pixels_back(opened: list[object]) -> None:
    async def scenario(compute: Compute) -> None:
        call = asyncio.create_task(compute.decode_images(encoded(*[MILLION] * 2), GRAY))
        await asyncio.sleep(0)
        assert compute.budget.pixels
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (compute.budget.pixels, compute.pool.waiting) == (0, 0)

    with computing() as compute:
        asyncio.run(scenario(compute))
