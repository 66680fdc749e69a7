"""Indexes of data sets with bad images, against indexes of the good images alone."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.network.network import Network
from service.datasets import Dataset, DatasetError, Source
from service.engine.job import NotFinite
from service.index.store import BuildProgress, IndexPlan, IndexStore, Order
from tests.service.index.toys_index import (
    COUNT,
    LABELS,
    SHAPES,
    SIDE,
    Device,
    K,
    Net,
    dataset,
    dying,
    pictures,
    plan_of,
    prepare,
    small_network,
)

# One of a shard, a whole shard, and the last one.
BAD = {3, 17, *range(64, 128), COUNT - 1}
GOOD = [number for number in range(COUNT) if number not in BAD]
ORDERS: tuple[Order, ...] = ("max", "min", "mean", "magnitude", "quantile")


def chosen(numbers: list[int]) -> Dataset:
    """The data set of some of the pictures."""
    whole = dataset(pictures())
    return Dataset(
        "mine", "memory", Source(len(numbers), lambda i: whole.source.item(numbers[i]), (), LABELS)
    )


def with_bad(bad: set[int]) -> Dataset:
    """All pictures, some of which cannot be read."""
    whole = dataset(pictures())

    def item(index: int) -> tuple[str, bytes, int | None]:
        name, data, label = whole.source.item(index)
        return name, data[:20] if index in bad else data, label

    return Dataset("mine", "memory", Source(COUNT, item, (), LABELS))


def plan(data: Dataset) -> IndexPlan:
    return replace(plan_of(data), skip_bad=data.skip_bad)


def test_what_is_left_out_counts_nowhere_and_is_listed(tmp_path: Path) -> None:
    device, bad, good = Device(small_network()), with_bad(BAD).skipping_bad(), chosen(GOOD)
    store, other = IndexStore(tmp_path / "bad"), IndexStore(tmp_path / "good")
    told = list[BuildProgress]()
    built = store.build(plan(bad), bad, prepare, device.submit, batch=16, progress=told.append)
    assert built == len(GOOD)
    assert (told[-1].images_done, told[-1].images, told[-1].left_out) == (COUNT, COUNT, len(BAD))
    for before, now in pairwise(told):
        assert 0 <= now.left_out - before.left_out <= now.images_done - before.images_done
    other.build(plan(good), good, prepare, device.submit)
    ours, theirs = plan(bad).subject, plan(good).subject
    for layer, (units, *_) in SHAPES.items():
        for unit in range(units):
            for order in ORDERS:
                found = store.find(ours, layer, unit, K, order)
                alone = other.find(theirs, layer, unit, K, order)
                assert (found.images, found.left_out) == (len(GOOD), len(BAD))
                assert found.hits == [replace(hit, id=GOOD[hit.id]) for hit in alone.hits]
            for label in range(LABELS):
                found = store.find(ours, layer, unit, K, label=label)
                alone = other.find(theirs, layer, unit, K, label=label)
                assert found.hits == [replace(hit, id=GOOD[hit.id]) for hit in alone.hits]
        for one, two in zip(
            store.statistics(ours, layer), other.statistics(theirs, layer), strict=True
        ):
            assert one.histogram.tolist() == two.histogram.tolist()
            assert np.isclose(one.mean, two.mean)
            assert (one.maximum, one.sparsity) == (two.maximum, two.sparsity)
    left_out = store.left_out(ours, "conv")
    assert left_out["count"] == len(BAD)
    assert [each["id"] for each in left_out["images"]] == sorted(BAD)
    assert left_out["images"][0]["name"] == "n3"
    assert left_out["images"][0]["reason"]


def test_a_build_that_goes_on_tells_in_the_end_of_all_that_was_left_out(tmp_path: Path) -> None:
    bad, told = with_bad(BAD).skipping_bad(), list[BuildProgress]()
    device, store = Device(small_network()), IndexStore(tmp_path)
    died = dying(Device(small_network()).submit, 5, lambda: RuntimeError("power"))
    with pytest.raises(RuntimeError, match="power"):
        store.build(plan(bad), bad, prepare, died, batch=16)
    store.build(plan(bad), bad, prepare, device.submit, batch=16, progress=told.append)
    assert (told[-1].images_done, told[-1].left_out) == (COUNT, len(BAD))


def test_a_bad_image_ends_a_build_unless_it_is_left_out(tmp_path: Path) -> None:
    device, store, bad = Device(small_network()), IndexStore(tmp_path), with_bad({70})
    skipping = bad.skipping_bad()
    with pytest.raises(DatasetError, match=r"image 70 \('n70'\) of data set 'mine'"):
        store.build(plan(bad), bad, prepare, device.submit)
    assert store.build(plan(skipping), skipping, prepare, device.submit) == COUNT - 1
    with pytest.raises(DatasetError, match="image 70"):  # shards with gaps are not taken over
        store.build(plan(bad), bad, prepare, device.submit)
    assert store.left_out(plan(bad).subject, "conv")["count"] == 1


def test_a_data_set_of_bad_images_alone_has_no_index(tmp_path: Path) -> None:
    bad = with_bad(set(range(COUNT))).skipping_bad()
    with pytest.raises(
        DatasetError, match=rf"all {COUNT} were left out, the first, image 0 \('n0'\), because: "
    ):
        IndexStore(tmp_path).build(plan(bad), bad, prepare, Device(small_network()).submit)
    assert [path.name for path in (tmp_path / "indexes").iterdir()] == []


class Poisoned(Net):
    """It gives what are no numbers on images of another shade than those of `pictures`."""

    def __init__(self, poison: float) -> None:
        super().__init__()
        self.poison = poison

    def forward(self, x: Tensor) -> Tensor:
        odd = ((x * 85).round() % 85 != 0).flatten(1).any(1).view(-1, 1, 1, 1)
        return super().forward(torch.where(odd, self.poison, x))


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_images_on_which_the_network_gives_no_numbers(tmp_path: Path, poison: float) -> None:
    """They are left out like pictures that cannot be read; else the first is named."""
    drawn = pictures()
    drawn[sorted(BAD)] = 1
    whole, good = dataset(drawn), chosen(GOOD)
    device = Device(Network(Poisoned(poison), (1, SIDE, SIDE), mean=[0.0], std=[1 / 3]))
    reason = "an activation of layer 'conv' is infinite in 32 bits or not a number"
    told = rf"image (\d+) \('n\1'\) of data set 'mine' cannot be used: {reason}; skip_bad"
    with pytest.raises(NotFinite, match=told):
        IndexStore(tmp_path).build(plan(whole), whole, prepare, device.submit)
    skipping = whole.skipping_bad()
    store, alone = IndexStore(tmp_path / "bad"), IndexStore(tmp_path / "good")
    assert store.build(plan(skipping), skipping, prepare, device.submit) == len(GOOD)
    alone.build(plan(good), good, prepare, Device(small_network()).submit)
    ours, theirs = plan(skipping).subject, plan(good).subject
    left_out = store.left_out(ours, "conv")
    assert left_out["count"] == len(BAD)
    assert left_out["images"][0] == {"id": 3, "name": "n3", "reason": reason}
    for layer, (units, *_) in SHAPES.items():
        for unit in range(units):
            found, wanted = (
                s.find(subject, layer, unit, K) for s, subject in ((store, ours), (alone, theirs))
            )
            assert (found.images, found.left_out) == (len(GOOD), len(BAD))
            assert found.hits == [replace(hit, id=GOOD[hit.id]) for hit in wanted.hits]
