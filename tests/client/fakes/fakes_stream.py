"""What the tests of streams share."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import grpc
import numpy as np
import pytest

import striate
from striate.v1 import attack_pb2 as pb
from tests.client.fakes.fakes_robustness import answer

IMAGES = np.random.default_rng(3).integers(0, 256, (23, 4, 5, 3), dtype=np.uint8)
LABELS = [row % 4 for row in range(23)]
Requests = Iterator[pb.AttackStreamRequest]
Script = Callable[[Requests, grpc.ServicerContext], Iterator[pb.AttackStreamResponse]]


def in_groups(size: int, reorder: Callable[[list[Any]], list[Any]]) -> Script:
    """A server that answers so many images at a time, in another order."""

    def converse(
        requests: Requests, context: grpc.ServicerContext
    ) -> Iterator[pb.AttackStreamResponse]:
        attack = next(requests).settings.attack
        while group := list(islice(requests, size)):
            yield from (answer(attack, request.image) for request in reorder(group))

    return converse


def backwards(group: list[Any]) -> list[Any]:
    return group[::-1]


def ids(found: Any) -> list[int]:
    return [image.id for image in found]


def until_it_fails(stream: Any) -> tuple[list[int], Exception]:
    """The ids of what a stream hands out before it raises, and what it raises."""
    found: list[int] = []
    try:
        for image in stream:
            found.append(image.id)
    except (striate.StriateError, RuntimeError) as error:
        return found, error
    pytest.fail("the stream ended well")


def counted(read: list[int]) -> Iterator[Any]:
    """The images, each noted as it is read."""
    for place, image in enumerate(IMAGES):
        read.append(place)
        yield image
