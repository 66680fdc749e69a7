"""Small files of many pixels: refused by their headers, or decoded without holding up others."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from tests.toys_server import free_port, metric, serving

NAME = "digits-lenet5"
SMALL = np.zeros((1, 32, 32, 1), np.uint8)


@pytest.fixture(scope="module")
def flat() -> bytes:
    """A flat picture of 64 megapixels, in 35 KB."""
    file = io.BytesIO()
    Image.new("1", (8000, 8000)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def test_too_many_pixels_are_refused_by_name(net: striate.Model, flat: bytes) -> None:
    with pytest.raises(striate.InvalidArgument, match=r"encoded\[8\]: .*576000000.*536870912"):
        net.classify([flat] * 9)


def test_an_image_is_answered_beside_calls_of_a_hundred_large_ones(
    tmp_path: Path, flat: bytes
) -> None:
    """Also where the limits let them in, and what nobody waits for any more is dropped."""
    port = free_port()
    limits = ("--request-pixels", str(10**10), "--decode-pixels", str(10**11))
    flags = ("--model", NAME, "--metrics-port", str(port), *limits)
    with (
        serving(tmp_path, *flags) as (_, target),
        striate.connect(target) as service,
        ThreadPoolExecutor(2) as threads,
    ):
        net = service.model(NAME)
        hurried = striate.connect(target, timeout=2).model(NAME)
        large = [threads.submit(hurried.classify, [flat] * 100) for _ in range(2)]
        answered = 0
        while not all(call.done() for call in large):
            net.classify(SMALL, timeout=5)
            answered += 1
        for call in large:
            with pytest.raises(striate.DeadlineExceeded):
                call.result()
        net.classify(SMALL, timeout=5)
        assert answered >= 3
        assert metric(port, "striate_decode_pixels") == 0
        assert metric(port, "striate_decode_waiting") == 0
