"""Labels as callers write them."""

from typing import Any

import numpy as np
import pytest
import torch

import striate
from tests.client.fakes.fakes_server import (
    Fake,
)

IMAGES = np.random.default_rng(2).integers(0, 256, (10, 4, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("labels", "sent"),
    [
        ([0, 1, 2], [0, 1, 2]),
        (np.array([3, 1, 0]), [3, 1, 0]),
        (["cat", 3, "Sports Car"], [0, 3, 1]),
        ("sports_car", [1, 1, 1]),
        (np.int64(2), [2, 2, 2]),
        (torch.tensor([3, 1, 0]), [3, 1, 0]),
        (torch.tensor(2), [2, 2, 2]),
        ((label for label in (1, 2, 3)), [1, 2, 3]),
        (None, []),
    ],
)
def test_labels(fake: Fake, net: striate.Model, labels: Any, sent: list[int]) -> None:
    net.attack(IMAGES[:3], labels, striate.FGSM())
    assert list(fake.requests("Attack")[0].labels) == sent


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1], "must be one an image, 3"),
        ([0, 1, 4], r"labels\[2\]: must be 0 to 3, is 4"),
        ([0, -1, 1], r"labels\[1\]"),
        ([0.5, 1, 1], r"labels\[0\]: must be a class index or name"),
        (["cat", "cat", "crane"], r"labels\[2\]: 'crane' names the classes 2, 3"),
        ("sportscart", "nearest: sports-car"),
        (True, r"labels\[0\]: must be a class index or name, is True"),
        ([1, np.bool_(True), 1], r"labels\[1\]"),
        (np.array([True, False, True]), r"labels\[0\]"),
        (torch.tensor([True, False, True]), r"labels\[0\]"),
        (b"abc", "class index or name for each image"),
        (bytearray(3), "class index or name for each image"),
        (memoryview(b"abc"), "class index or name for each image"),
        ({0, 1, 2}, "class index or name for each image"),
        ({0: 1, 1: 1, 2: 1}, "class index or name for each image"),
        (np.ma.masked_equal(np.array([0, 1, 2]), 1), r"labels\[1\]"),
        (torch.zeros((3, 4), dtype=torch.int64), r"labels\[0\]"),
    ],
)
def test_labels_that_make_no_sense(net: striate.Model, labels: Any, words: str) -> None:
    with pytest.raises(striate.InvalidArgument, match=words):
        net.attack(IMAGES[:3], labels, striate.FGSM())
