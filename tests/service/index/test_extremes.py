"""What an index knows of minus a unit and of its magnitude, against brute force over all images."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pytest

from interp.exemplars import LEVELS, ORDERS, RankedBy, order_of
from interp.layer import Form
from interp.network.network import Network
from service.datasets import Dataset
from service.index.files import FORMAT
from service.index.store import IndexMissing, IndexStore, Subject
from tests.service.index.toys_index import (
    COUNT,
    SHAPES,
    Device,
    Net,
    assert_brute_force,
    dataset,
    maps,
    pictures,
    plan_of,
    prepare,
    small_network,
)

RANKED: dict[RankedBy, Callable[[np.ndarray], np.ndarray]] = {  # of maps (N, U, positions)
    "max": lambda x: x.max(2),
    "min": lambda x: -x.min(2),
    "mean": lambda x: x.mean(2),
    "lowest_mean": lambda x: -x.mean(2),
    "magnitude": lambda x: np.abs(x).max(2),
    "mean_magnitude": lambda x: np.abs(x.mean(2)),
}


@pytest.fixture(scope="module")
def network() -> Network:
    return small_network()


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset(pictures())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, network: Network, data: Dataset) -> Path:
    """A state folder with an index of three shards, which no test changes."""
    state = tmp_path_factory.mktemp("built")
    IndexStore(state).build(plan_of(data), data, prepare, Device(network).submit, batch=16)
    return state


def subject(data: Dataset) -> Subject:
    return Subject.of("net", "d1", data)


def test_orders_of_forms() -> None:
    forms: tuple[Form, ...] = ("value", "neg", "abs")
    sides: tuple[Literal["max", "mean"], ...] = ("max", "mean")
    found = [order_of(form, by) for form in forms for by in sides]
    assert found == ["max", "mean", "min", "lowest_mean", "magnitude", "mean_magnitude"]
    assert set(found) == set(ORDERS)


@pytest.mark.parametrize("layer", list(SHAPES))
@pytest.mark.parametrize("order", ORDERS)
def test_the_largest_and_every_percentile_are_those_of_brute_force(
    built: Path, network: Network, data: Dataset, layer: str, order: RankedBy
) -> None:
    store, values = IndexStore(built), RANKED[order](maps(network, pictures(), layer))
    assert COUNT <= LEVELS  # so that percentiles are exact
    found = store.extremes(subject(data), layer)
    assert found is not None
    np.testing.assert_allclose(found.of(order), values.max(0), rtol=1e-6)
    for unit in range(values.shape[1]):
        mine = np.unique(values[:, unit])  # ties are many
        between = (mine[1:] + mine[:-1]) / 2
        for value in (mine[0] - 1, *between, mine[-1] + 1):
            assert store.percentile(subject(data), layer, unit, value, order) == pytest.approx(
                (values[:, unit] < value).mean(), abs=1e-12
            )


def test_a_rectified_unit_has_no_minus_zero(tmp_path: Path, data: Dataset) -> None:
    network = small_network()
    conv = cast(Net, network.module).conv
    assert conv.bias is not None
    conv.bias.data.fill_(-99)
    conv.register_forward_hook(lambda *given: given[2].relu())
    store = IndexStore(tmp_path)
    store.build(plan_of(data), data, prepare, Device(network).submit)
    found = store.extremes(subject(data), "conv")
    assert found is not None
    for order in ORDERS:
        assert not np.signbit(found.of(order)).any()
        hits = store.find(subject(data), "conv", 0, 3, order).hits
        assert [(hit.id, hit.activation, np.signbit(hit.activation)) for hit in hits] == [
            (image, 0.0, False) for image in range(3)
        ]


def outdate(state: Path) -> list[Path]:
    """Make all indexes of a state folder those of another format; returns their tensor files."""
    old = []
    for path in (state / "indexes").glob("*.json"):
        about = json.loads(path.read_text())
        del about["sha256"]  # which came with a later format
        name = f"old-{about['tensors']}"
        old.append((path.parent / about["tensors"]).rename(path.parent / name))
        path.write_text(json.dumps({**about, "format": FORMAT - 1, "tensors": name}))
    return old


def test_an_index_of_another_format_says_how_it_is_built_again(
    built: Path, tmp_path: Path, network: Network, data: Dataset
) -> None:
    state = Path(shutil.copytree(built, tmp_path / "state"))
    tensors = outdate(state)
    store = IndexStore(state)
    assert store.layers(subject(data)) == []
    assert store.extremes(subject(data), "conv") is None
    with pytest.raises(IndexMissing, match=f"in format {FORMAT - 1}, .* build it again") as caught:
        store.statistics(subject(data), "conv")
    assert caught.value.stale
    assert "striate index net --dataset mine --layer conv" in str(caught.value)
    assert store.outdated("net", "d1", "conv") == str(caught.value)
    assert store.outdated("net", "d2", "conv") == store.outdated("net", "d1", "head") == ""
    assert len(tensors) == 2
    assert all(path.exists() for path in tensors)
    store.build(plan_of(data), data, prepare, Device(network).submit)
    assert_brute_force(store, data, network)
    assert store.outdated("net", "d1", "conv") == ""
    assert not any(path.exists() for path in tensors)


def test_what_is_missing_says_how_it_is_built(built: Path, data: Dataset) -> None:
    with pytest.raises(IndexMissing, match="build it first: striate index net --dataset mine"):
        IndexStore(built).statistics(subject(data), "head")
    stale = Subject.of("net", "d2", data)
    with pytest.raises(IndexMissing, match=r"other weights .* build it again: striate index net"):
        IndexStore(built).statistics(stale, "conv")
