"""Requests to build an exemplar index: defaults filled in, what is out of range refused."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.datasets import Dataset, Source
from service.index.store import IndexPlan
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField
from service.rpc.wire.index_plan import read_plan
from striate.v1 import exemplars_pb2 as pb

SHAPES = {"c3": (16, 10, 10), "f6": (84,), "logits": (10,)}
NETWORK = SimpleNamespace(layers=("c3", "f6"), output_shapes=SHAPES, unavailable={})
MODEL = cast(HostedModel, SimpleNamespace(name="toy", digest="0", network=NETWORK, classes=()))


def unread(index: int) -> tuple[str, bytes, int | None]:
    raise AssertionError("a plan reads no images")


def plan(labels: int = 10, **settings: Any) -> IndexPlan:
    request = pb.BuildExemplarIndexRequest(**{"layers": ["c3", "logits"]} | settings)
    return read_plan(request, MODEL, Dataset("toy", "memory", Source(9999, unread, (), labels)))


def test_a_build_is_planned_as_asked() -> None:
    usual = plan()
    assert (usual.k, usual.limit, usual.labels, usual.class_k, usual.shard_images) == (
        9,
        0,
        10,
        None,
        4096,
    )
    assert usual.quantiles == (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
    assert usual.shapes == {"c3": (16, 10, 10), "logits": (10,)}
    asked = plan(k=100, limit=5, class_k=0, shard_images=64, quantiles=[0.9, 0, 1, 0.1, 0.1])
    assert (asked.k, asked.limit, asked.class_k, asked.shard_images, asked.quantiles) == (
        100,
        5,
        0,
        64,
        (0.0, 0.1, 0.9, 1.0),
    )
    assert plan(quantiles=usual.quantiles).key == usual.key
    assert plan(labels=0).labels == 0


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"k": 101}, "k"),
        ({"class_k": 101}, "class_k"),
        ({"shard_images": 63}, "shard_images"),
        ({"shard_images": 65537}, "shard_images"),
        ({"quantiles": [0.5, 1.01]}, "quantiles[1]"),
        ({"quantiles": [float("nan")]}, "quantiles[0]"),
        ({"quantiles": [0.5] * 33}, "quantiles"),
        ({"layers": []}, "layers"),
        ({"layers": ["c3"] * 65}, "layers"),
        ({"layers": ["c3", "c3:1"]}, "layers[1]"),
    ],
)
def test_builds_that_are_refused(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidField) as caught:
        plan(**settings)
    assert caught.value.field == where


def test_exemplars_by_label_are_bounded() -> None:
    most = 2**22 // (16 * 100_000)  # c3 has 16 units
    assert plan(100_000, class_k=most).kept == most
    with pytest.raises(InvalidField, match=f"class_k: is {most + 1}, must be at most {most}"):
        plan(100_000, class_k=most + 1)
    assert plan(100_000).kept == 1
    assert plan(100_000, layers=["f6"]).kept == 0  # 84 units
    assert plan(0, class_k=100).kept == 0  # no labels
    assert plan(k=100).kept == 100
