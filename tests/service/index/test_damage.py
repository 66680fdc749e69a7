"""Flipped bytes in an index and in what a build has done so far: never served, built again."""

import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from interp.network.network import Network
from service.datasets import Dataset
from service.index.files import Files, tensors
from service.index.store import IndexMissing, IndexStore, Subject
from service.state import DataLost, Quarantine
from tests.service.index.toys_index import (
    Device,
    K,
    assert_brute_force,
    dataset,
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
    state = tmp_path_factory.mktemp("built")
    IndexStore(state).build(plan_of(data), data, prepare, Device(network).submit, batch=16)
    return state


@pytest.fixture
def state(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "state"))


def subject(data: Dataset) -> Subject:
    return Subject.of("net", "d1", data)


def flip(path: Path, place: int) -> None:
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("served_before", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_a_flipped_bit_is_never_served(
    state: Path, network: Network, data: Dataset, share: float, served_before: bool
) -> None:
    store = IndexStore(state)
    if served_before:
        assert_brute_force(store, data, network)
    (path,) = (state / "indexes").glob("net-mine-conv-*.safetensors")
    with safe_open(path, "np") as file:
        header = path.stat().st_size - sum(
            file.get_tensor(name).nbytes
            for name in file.keys()  # noqa: SIM118
        )
    flip(path, header + int(share * (path.stat().st_size - header)))
    for _ in range(2):
        with pytest.raises(DataLost, match="build it again: striate index net --dataset mine"):
            store.find(subject(data), "conv", 0, K)
        with pytest.raises(DataLost):
            store.statistics(subject(data), "conv")
    assert store.extremes(subject(data), "conv") is None
    store.build(plan_of(data), data, prepare, Device(network).submit)
    assert_brute_force(store, data, network)


def test_a_flipped_description_is_set_aside(state: Path, network: Network, data: Dataset) -> None:
    (path,) = (state / "indexes").glob("net-mine-conv-*.json")
    content = path.read_bytes()
    place = content.index(b'"images": 161') + len(b'"images": 16')
    flip(path, place)
    counted = list[str]()
    store = IndexStore(state, quarantine=Quarantine(state / "q", counted.append))
    assert store.layers(subject(data)) == ["logits"]
    assert counted == ["index"]
    assert [kept.name.endswith(path.name) for kept in (state / "q").iterdir()] == [True]
    with pytest.raises(DataLost, match="build it again"):
        store.find(subject(data), "conv", 0, K)
    with pytest.raises(IndexMissing):
        IndexStore(state).find(subject(data), "conv", 0, K)
    store.build(plan_of(data), data, prepare, Device(network).submit)
    assert_brute_force(store, data, network)


def test_a_flipped_shard_is_built_again(tmp_path: Path, network: Network, data: Dataset) -> None:
    whole = IndexStore(tmp_path / "whole")
    whole.build(plan_of(data), data, prepare, Device(network).submit, batch=16)
    store, done = IndexStore(tmp_path / "killed"), list[int]()

    def cancelled() -> bool:
        found = [*(tmp_path / "killed").rglob("shard-*")]
        done.append(len(found))
        return len(found) > 1

    with pytest.raises(BaseException, match="stopped"):
        store.build(
            plan_of(data), data, prepare, Device(network).submit, batch=16, cancelled=cancelled
        )
    shards = sorted((tmp_path / "killed").rglob("shard-*"))
    flip(shards[0], shards[0].stat().st_size - 3)
    store.build(plan_of(data), data, prepare, Device(network).submit, batch=16)
    for path in (tmp_path / "whole" / "indexes").iterdir():
        assert (tmp_path / "killed" / "indexes" / path.name).read_bytes() == path.read_bytes()


def test_an_index_of_before_there_were_digests_is_held_to_its_name(
    state: Path, data: Dataset
) -> None:
    (path,) = (state / "indexes").glob("net-mine-conv-*.safetensors")
    with tensors(path) as (about, file):
        held = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    del about["sha256"]
    path.unlink()
    files = Files(str(state / "indexes"), state / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.index.files.SEAL", "unused")
        files.save(path.name, about, held)
    store = IndexStore(state)
    assert store.find(subject(data), "conv", 0, K).hits
    flip(path, path.stat().st_size - 1)
    with pytest.raises(DataLost):
        store.find(subject(data), "conv", 0, K)
