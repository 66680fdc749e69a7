"""Exemplar indexes: what is asked for, against brute force over the same data set; what is refused,
and where files lie.
"""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from interp.feature.appearance import appearance
from interp.network.network import Network
from service.datasets import Dataset, DatasetError
from service.engine.job import NotFinite
from service.index.layer import about_digest
from service.index.store import IndexMissing, IndexPlan, IndexStore, Subject
from service.state import DataLost
from service.state.sealed import SEAL
from tests.service.index.toys_index import (
    COUNT,
    LABELS,
    SHAPES,
    Device,
    K,
    assert_brute_force,
    dataset,
    maps,
    pictures,
    plan_of,
    prepare,
    small_network,
)


@pytest.fixture(scope="module")
def network() -> Network:
    return small_network()


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset(pictures())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, network: Network, data: Dataset) -> Path:
    """A state folder with an index, which no test changes."""
    state = tmp_path_factory.mktemp("built")
    IndexStore(state).build(plan_of(data), data, prepare, Device(network).submit, batch=16)
    return state


@pytest.fixture
def state(built: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(built, tmp_path / "state"))


def subject(data: Dataset) -> Subject:
    return Subject.of("net", "d1", data)


def test_an_index_read_back_equals_brute_force(
    built: Path, network: Network, data: Dataset
) -> None:
    store = IndexStore(built)
    assert store.layers(subject(data)) == ["conv", "logits"]
    assert_brute_force(store, data, network)
    assert_brute_force(store, data, network, k=2)
    assert not [*built.rglob("shard-*"), *built.rglob("*.tmp")]


def test_statistics_equal_numpys(built: Path, network: Network, data: Dataset) -> None:
    for layer in SHAPES:
        x = maps(network, pictures(), layer)
        everything = IndexStore(built).statistics(subject(data), layer)
        assert [s.unit for s in everything] == list(range(x.shape[1]))
        for unit, got in enumerate(everything):
            mine = x[:, unit]
            top, values = mine.max(1), mine.ravel()
            assert (got.minimum, got.maximum) == (values.min(), values.max())
            assert got.maximum_mean == pytest.approx(mine.mean(1).max())
            assert got.minimum_mean == pytest.approx(mine.mean(1).min())
            assert [got.mean, got.variance] == pytest.approx([values.mean(), values.var()])
            assert [got.active_share, got.active_images] == pytest.approx(
                [(values > 0).mean(), (top > 0).mean()]
            )
            clipped = top.clip(0)
            assert got.sparsity == pytest.approx(1 - clipped.mean() ** 2 / (clipped**2).mean())
            counts, edges = np.histogram(top, len(got.histogram))
            assert got.histogram.tolist() == counts.tolist()
            assert (got.histogram_low, got.histogram_high) == (edges[0], edges[-1])
            assert got.quantile_values.tolist() == [
                np.sort(top)[int(share * (COUNT - 1) + 0.5)] for share in (0.0, 0.3, 0.75, 1.0)
            ]


def test_one_units_statistics_are_those_among_all(built: Path, data: Dataset) -> None:
    store = IndexStore(built)
    (one,), every = (
        store.statistics(subject(data), "conv", 3),
        store.statistics(subject(data), "conv"),
    )
    assert (one.unit, one.mean, one.histogram.tolist()) == (
        3,
        every[3].mean,
        every[3].histogram.tolist(),
    )


def test_no_answer_keeps_the_file_mapped(state: Path, data: Dataset) -> None:
    store = IndexStore(state)
    answers = (
        store.find(subject(data), "conv", 0, K),
        store.statistics(subject(data), "conv"),
        store.extremes(subject(data), "conv"),
    )
    assert all(answers)
    assert str(state) not in Path("/proc/self/maps").read_text()


def test_maxima_and_percentiles(built: Path, network: Network, data: Dataset) -> None:
    store, x = IndexStore(built), maps(network, pictures(), "conv")
    found = store.extremes(subject(data), "conv")
    assert found is not None
    assert found.images == COUNT
    assert {one.dtype for one in (found.maximum, found.minimum_mean)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(found.maximum, x.max((0, 2)))
    np.testing.assert_allclose(found.maximum_mean, x.mean(2).max(0), rtol=1e-6)
    assert store.extremes(subject(data), "head") is None
    for unit in range(5):
        for value in (
            -100.0,
            100.0,
            *x[:9, unit].max(1),
            float(np.median(x[:, unit].max(1))) + 0.5,
        ):
            assert store.percentile(subject(data), "conv", unit, value) == pytest.approx(
                (x[:, unit].max(1) < value).mean()
            )
        middle = float(np.median(x[:, unit].mean(1))) + 1e-4
        assert store.percentile(subject(data), "conv", unit, middle, "mean") == pytest.approx(
            (x[:, unit].mean(1) < middle).mean()
        )


def test_analysts_have_a_table(built: Path, data: Dataset) -> None:
    (path,) = (built / "indexes").glob("net-mine-conv-*.parquet")
    table, wanted = (
        pq.read_table(path).to_pylist(),
        IndexStore(built).statistics(subject(data), "conv"),
    )
    assert [row["unit"] for row in table] == list(range(5))
    for row, unit in zip(table, wanted, strict=True):
        assert (row["maximum"], row["sparsity"], row["histogram"]) == (
            unit.maximum,
            unit.sparsity,
            unit.histogram.tolist(),
        )
        assert row["quantile_0.75"] == unit.quantile_values[2]


def test_indexed_names_data_sets_most_images_first(
    state: Path, network: Network, data: Dataset
) -> None:
    other = dataset(pictures(), "elsewhere", "another")
    store = IndexStore(state)
    store.build(plan_of(other, limit=9), other, prepare, Device(network).submit)
    assert store.indexed("net", "d1", "conv") == [subject(data), subject(other)]
    assert store.indexed("net", "d2", "conv") == store.indexed("net", "d1", "head") == []


def test_how_the_images_look_is_known_and_of_older_indexes_it_is_not(
    built: Path, state: Path, data: Dataset
) -> None:
    looks = appearance(torch.from_numpy(pictures()[:, None]).float() / 255)
    expected = np.mean(looks.rows, axis=0).tolist()
    for layer in ("conv", "logits"):
        found = IndexStore(built).look(subject(data), layer)
        assert found is not None
        assert list(found) == pytest.approx(expected, abs=1e-5)
    for path in (state / "indexes").glob("*.json"):
        about = json.loads(path.read_text())
        del about["look"]
        path.write_text(json.dumps(about | {SEAL: about_digest(about)}))
    assert IndexStore(state).look(subject(data), "conv") is None


def test_of_many_images_some_hundred_are_looked_at(data: Dataset) -> None:
    many = replace(plan_of(data).subject, size=10_000)
    looked_at = range(0, 10_000, replace(plan_of(data), subject=many).look_step)
    assert 256 <= len(looked_at) < 512
    assert plan_of(data).look_step == 1


def test_what_cannot_be_asked(built: Path, data: Dataset) -> None:
    store = IndexStore(built)
    for wrong, unit, order, label in (
        ("units 0 to 4, not 5", 5, "max", None),
        ("units 0 to 4, not -1", -1, "max", None),
        ("maximum alone", 0, "min", 1),
        (f"labels 0 to {LABELS - 1}, not {LABELS}", 0, "max", LABELS),
    ):
        with pytest.raises(ValueError, match=wrong):
            store.find(subject(data), "conv", unit, K, order, label)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not 9"):
        store.statistics(subject(data), "conv", 9)
    with pytest.raises(ValueError, match="not 9"):
        store.percentile(subject(data), "conv", 9, 0.0)


def test_data_sets_without_labels_and_indexes_without_classes(
    tmp_path: Path, network: Network, data: Dataset
) -> None:
    store = IndexStore(tmp_path)
    for plan, wrong in (
        (replace(plan_of(data, limit=5), labels=0), "no labels"),
        (plan_of(data, limit=6, class_k=0), "by label"),
    ):
        store.build(plan, data, prepare, Device(network).submit)
        with pytest.raises(ValueError, match=wrong):
            store.find(subject(data), "conv", 0, K, label=1)
        assert store.find(subject(data), "conv", 0, 1).hits


def test_only_the_right_index_is_used(built: Path, data: Dataset) -> None:
    store = IndexStore(built)
    for other, stale in [
        (Subject.of("net", "d2", data), True),  # other weights
        (Subject.of("net", "d1", dataset(pictures()[:50])), True),  # the data set shrank
        (
            Subject.of("net", "d1", dataset(pictures(), "elsewhere")),
            True,
        ),  # another place under the same name
        (Subject.of("other", "d1", data), False),
    ]:
        assert store.layers(other) == []
        with pytest.raises(IndexMissing, match="build it") as caught:
            store.find(other, "conv", 0, K)
        assert caught.value.stale is stale
    with pytest.raises(IndexMissing):
        store.find(subject(data), "head", 0, K)


def test_a_limit_and_a_k_beyond_the_images(tmp_path: Path, network: Network, data: Dataset) -> None:
    store = IndexStore(tmp_path)
    assert store.build(plan_of(data, limit=5), data, prepare, Device(network).submit, batch=3) == 5
    assert_brute_force(store, data, network, 5)


def test_a_smaller_index_does_not_replace_a_larger_one(
    tmp_path: Path, network: Network, data: Dataset
) -> None:
    store = IndexStore(tmp_path)

    def build(limit: int, k: int) -> int:
        return store.build(plan_of(data, limit=limit, k=k), data, prepare, Device(network).submit)

    assert build(9, K) == 9
    assert_brute_force(store, data, network, 9)
    build(70, 1)
    build(70, K)
    assert build(9, K + 1) == 9
    build(70, K - 2)
    for reader in (store, IndexStore(tmp_path)):
        assert_brute_force(reader, data, network, 70)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])  # what cannot be read is replaced by anything
    with pytest.raises(DataLost, match="build it again: striate index net"):
        store.find(subject(data), "conv", 0, K)
    build(9, K)
    for reader in (store, IndexStore(tmp_path)):
        assert_brute_force(reader, data, network, 9)


def test_names_stay_inside_the_folder(tmp_path: Path, network: Network) -> None:
    data, store = dataset(pictures(20), name="../../up"), IndexStore(tmp_path / "state")
    plan = IndexPlan(Subject.of("/etc/../model", "d", data), {"conv": (5, 6, 6)}, K)
    store.build(plan, data, prepare, Device(network).submit)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in files} == {tmp_path / "state" / "indexes"}
    assert {path.suffix for path in files} == {".json", ".parquet", ".safetensors"}
    assert IndexStore(tmp_path / "state").layers(plan.subject) == ["conv"]


def test_files_of_other_formats_and_damaged_ones_count_as_none(
    state: Path, network: Network, data: Dataset
) -> None:
    folder = state / "indexes"
    (about,) = folder.glob("net-mine-conv-*.json")
    old = about.with_suffix(".safetensors")  # where an earlier format kept its index
    old.write_bytes(b"tensors of another time")
    (folder / "foreign.json").write_text("[]")
    (folder / "half.json").write_bytes(b'{"format": 2')
    (folder / "bare.json").write_text('{"format": 2}')
    told = json.loads(about.read_text())
    del told["sha256"]  # which came with a later format
    about.write_text(json.dumps({**told, "format": 1}))
    store = IndexStore(state)
    assert store.layers(subject(data)) == ["logits"]
    with pytest.raises(IndexMissing):
        store.find(subject(data), "conv", 0, K)
    store.build(plan_of(data), data, prepare, Device(network).submit)
    assert_brute_force(store, data, network)
    assert not old.exists()


def test_another_servers_index_is_found(
    tmp_path: Path, network: Network, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = IndexStore(tmp_path), IndexStore(tmp_path)
    there.build(plan_of(data, limit=9), data, prepare, Device(network).submit)
    assert_brute_force(here, data, network, 9)
    there.build(
        plan_of(data, limit=20), data, prepare, Device(network).submit
    )  # the files that `here` knows are gone
    assert_brute_force(here, data, network, 20)
    other = dataset(pictures(), "elsewhere")
    there.build(plan_of(other, limit=9), other, prepare, Device(network).submit)
    late = time.monotonic() + 60
    monkeypatch.setattr("service.index.store.time.monotonic", lambda: late)
    assert here.layers(subject(other)) == ["conv", "logits"]


def test_an_object_store(tmp_path: Path, built: Path, network: Network, data: Dataset) -> None:
    uri = f"memory://{tmp_path.name}/indexes"
    store = IndexStore(tmp_path / "a", uri)
    store.build(plan_of(data), data, prepare, Device(network).submit, batch=16)
    assert_brute_force(
        IndexStore(tmp_path / "b", uri), data, network
    )  # another server, with another cache
    memory = fsspec.filesystem("memory")
    held = {
        path.rpartition("/")[2]: memory.cat_file(path)
        for path in memory.find(f"/{tmp_path.name}/indexes")
    }
    assert held == {path.name: path.read_bytes() for path in (built / "indexes").iterdir()}
    assert not list((tmp_path / "a").rglob("shard-*"))


def test_another_servers_larger_index_replaces_the_copy_of_a_smaller_one(
    tmp_path: Path, network: Network, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"memory://{tmp_path.name}/indexes"
    here, there = IndexStore(tmp_path / "a", uri), IndexStore(tmp_path / "b", uri)
    for limit in (9, 20):
        there.build(plan_of(data, limit=limit), data, prepare, Device(network).submit)
        late = time.monotonic() + 60 * limit
        monkeypatch.setattr("service.index.store.time.monotonic", lambda late=late: late)
        assert_brute_force(here, data, network, limit)


def test_a_url_that_nobody_knows(tmp_path: Path) -> None:
    for uri in (
        "gopher+blob://x/y",
        "dvc://x/y",
    ):  # no such protocol, and a driver that is not installed
        with pytest.raises(ValueError, match="cannot be used"):
            IndexStore(tmp_path, uri)


def test_errors_name_the_image(tmp_path: Path, network: Network) -> None:
    def corrupt(data: bytes) -> np.ndarray:
        raise ValueError("not a picture")

    data, store = dataset(pictures(20)), IndexStore(tmp_path)
    with pytest.raises(
        DatasetError, match=r"image 0 \('n0'\) of data set 'mine' cannot be used: not a picture"
    ):
        store.build(plan_of(data), data, corrupt, Device(network).submit)
    with pytest.raises(
        DatasetError, match="image 1 of data set 'mine' has label 1, not one below 1"
    ):
        store.build(replace(plan_of(data), labels=1), data, prepare, Device(network).submit)
    empty = dataset(pictures()[:0])
    with pytest.raises(DatasetError, match="'mine' is empty"):
        store.build(plan_of(empty), empty, prepare, Device(network).submit)


def test_nan_ends_a_build(tmp_path: Path) -> None:
    network, data = small_network(), dataset(pictures(20))
    network.module.get_parameter("conv.weight")[0, 0, 1, 1] = torch.nan
    with pytest.raises(
        NotFinite,
        match=r"image 0 \('n0'\) of .* layer 'conv' is infinite in 32 bits or not a number",
    ):
        IndexStore(tmp_path).build(plan_of(data), data, prepare, Device(network).submit)


def test_an_infinite_activation_ends_a_build(tmp_path: Path) -> None:
    network, data = small_network(), dataset(pictures(20))
    network.module.get_parameter("conv.bias")[2] = torch.inf
    with pytest.raises(NotFinite, match=r"image 0 .* layer 'conv' is infinite"):
        IndexStore(tmp_path).build(plan_of(data), data, prepare, Device(network).submit)
