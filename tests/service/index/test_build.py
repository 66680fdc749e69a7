"""Builds of an index: one pass, in shards; stopped, resumed, shared, damaged."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interp.network.network import Network
from interp.probe import Procedure
from service.datasets import Dataset, Source
from service.engine.job import QueueFull
from service.index.files import Files
from service.index.scan import BatchSummaries
from service.index.shards import save_shard
from service.index.store import BuildProgress, IndexMissing, IndexPlan, IndexStore, Subject
from tests.service.index.toys_index import (
    COUNT,
    Device,
    K,
    assert_brute_force,
    dataset,
    dying,
    expected,
    maps,
    pictures,
    plan_of,
    prepare,
    small_network,
)

SHARDS = 3  # of 64, 64 and 33 images


@pytest.fixture(scope="module")
def network() -> Network:
    return small_network()


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset(pictures())


@pytest.fixture(autouse=True)
def first_shard(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Builders begin at shard 0, unless a test wants another."""

    def begin(number: int) -> None:
        monkeypatch.setattr("service.index.build.secrets.randbelow", lambda _: number)

    begin(0)
    return begin


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def shards(state: Path) -> list[int]:
    return sorted(
        int(path.stem.removeprefix("shard-")) for path in state.rglob("shard-*.safetensors")
    )


def test_a_build_is_one_pass_and_tells_how_far_it_is(
    tmp_path: Path, network: Network, data: Dataset
) -> None:
    device, told = Device(network), list[BuildProgress]()
    total = IndexStore(tmp_path).build(
        plan_of(data), data, prepare, device.submit, batch=40, progress=told.append
    )
    assert total == COUNT
    assert told == [
        BuildProgress(done, COUNT, whole, SHARDS, lasting)
        for done, whole, lasting in (
            (0, 0, False),
            (40, 0, False),
            (64, 1, True),
            (104, 1, False),
            (128, 2, True),
            (161, 3, True),
            (161, 3, False),
        )
    ]
    assert device.batches == 5  # for both layers; batches begin where shards do
    assert device.most <= 2


def test_a_build_that_died_goes_on_behind_its_whole_shards(
    tmp_path: Path, network: Network, data: Dataset
) -> None:
    with pytest.raises(RuntimeError, match="power"):
        IndexStore(tmp_path).build(
            plan_of(data),
            data,
            prepare,
            dying(Device(network).submit, 6, lambda: RuntimeError("power")),
            batch=16,
        )
    assert shards(tmp_path) == [0]
    store, told, after = (
        IndexStore(tmp_path),
        list[BuildProgress](),
        Device(network),
    )  # a new process
    with pytest.raises(IndexMissing):
        store.find(Subject.of("net", "d1", data), "conv", 0, K)
    store.build(plan_of(data), data, prepare, after.submit, batch=16, progress=told.append)
    assert (told[0].images_done, told[0].shards_done, told[0].lasting) == (64, 1, False)
    assert after.batches == 4 + 3  # the 97 images that were left
    assert_brute_force(store, data, network)
    assert shards(tmp_path) == []


def test_a_cancelled_build_keeps_its_whole_shards(
    tmp_path: Path, network: Network, data: Dataset
) -> None:
    told, store = list[BuildProgress](), IndexStore(tmp_path)
    with pytest.raises(CancelledError, match="80 of 161"):
        store.build(
            plan_of(data),
            data,
            prepare,
            Device(network).submit,
            batch=16,
            progress=told.append,
            cancelled=lambda: told[-1].images_done >= 80,
        )
    assert shards(tmp_path) == [0]
    with pytest.raises(CancelledError):
        store.build(
            plan_of(data), data, prepare, dying(Device(network).submit, 5, CancelledError), batch=16
        )
    assert shards(tmp_path) == [0, 1]
    device = Device(network)
    store.build(plan_of(data), data, prepare, device.submit, batch=16)
    assert device.batches == 3
    assert_brute_force(store, data, network)


def test_a_full_queue_is_waited_for(tmp_path: Path, network: Network, data: Dataset) -> None:
    store, device, calls = IndexStore(tmp_path), Device(network), iter(range(10_000))

    def busy(procedure: Procedure[BatchSummaries]) -> "Future[BatchSummaries]":
        if next(calls) % 3:
            raise QueueFull(9, 0.0)
        return device.submit(procedure)

    store.build(plan_of(data, limit=70), data, prepare, busy, batch=16)
    assert_brute_force(store, data, network, 70)


@pytest.mark.parametrize("damage", [b"", b"half a file", None])
def test_a_damaged_shard_is_built_again(
    tmp_path: Path, network: Network, data: Dataset, damage: bytes | None
) -> None:
    whole, hurt = tmp_path / "whole", tmp_path / "hurt"
    IndexStore(whole).build(plan_of(data), data, prepare, Device(network).submit, batch=16)
    with pytest.raises(RuntimeError):
        IndexStore(hurt).build(
            plan_of(data),
            data,
            prepare,
            dying(Device(network).submit, 9, lambda: RuntimeError("power")),
            batch=16,
        )
    path = next(hurt.rglob("shard-000001.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    device = Device(network)
    IndexStore(hurt).build(plan_of(data), data, prepare, device.submit, batch=16)
    assert device.batches == 3 + 4  # the missing one, and then the one that could not be read
    assert files(hurt) == files(whole)


def test_two_builders_share_the_work_and_the_bytes_are_those_of_one(
    tmp_path: Path, network: Network, data: Dataset, first_shard: Callable[[int], None]
) -> None:
    IndexStore(tmp_path / "alone").build(
        plan_of(data), data, prepare, Device(network).submit, batch=16
    )
    slow, fast, gate, calls = (
        Device(network),
        Device(network),
        threading.Event(),
        iter(range(10_000)),
    )

    def halting(procedure: Procedure[BatchSummaries]) -> "Future[BatchSummaries]":
        if next(calls) == 1:
            gate.wait(60)  # until the other has done all it can
        return slow.submit(procedure)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(
            IndexStore(tmp_path / "two").build, plan_of(data), data, prepare, halting, batch=16
        )
        while not slow.batches:
            gate.wait(0.01)
        first_shard(1)
        there = list[BuildProgress]()
        reached = threading.Event()

        def progress(now: BuildProgress) -> None:
            there.append(now)
            if (
                now.shards_done == 2 and not reached.is_set()
            ):  # shards 1 and 2 are whole; the other has begun with shard 0
                reached.set()
                gate.set()
                first.result()

        IndexStore(tmp_path / "two").build(
            plan_of(data), data, prepare, fast.submit, batch=16, progress=progress
        )
    assert reached.is_set()
    assert slow.batches == 4  # its own shard; the others were there
    assert (
        fast.batches <= 4 + 3 + 4
    )  # those two, and the one that it had begun, too, before it was done
    assert files(tmp_path / "two") == files(tmp_path / "alone")


def test_a_second_build_of_the_same_plan_looks_at_the_images_again(
    tmp_path: Path, network: Network, data: Dataset
) -> None:
    images = pictures()
    store = IndexStore(tmp_path)
    store.build(plan_of(data), dataset(images[::-1]), prepare, Device(network).submit)
    store.build(plan_of(data), data, prepare, Device(network).submit)
    assert_brute_force(store, data, network)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2


def test_merging_reads_blocks_of_units(
    tmp_path: Path, network: Network, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = IndexStore(tmp_path / "whole")
    store.build(plan_of(data), data, prepare, Device(network).submit)
    monkeypatch.setattr("service.index.distributions.BLOCK_CELLS", 2 * COUNT)
    IndexStore(tmp_path / "blocks").build(plan_of(data), data, prepare, Device(network).submit)
    assert files(tmp_path / "blocks") == files(tmp_path / "whole")
    assert isinstance(
        store.statistics(Subject.of("net", "d1", data), "conv")[0].histogram, np.ndarray
    )


def test_a_build_goes_on_wherever_it_was_stopped(
    tmp_path: Path, network: Network, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    IndexStore(tmp_path / "whole").build(plan_of(data), data, prepare, Device(network).submit)
    put, files_made = (
        Path.replace,
        SHARDS + 2 * 3,
    )  # of each of two layers: tensors, table, description
    for last in range(files_made):
        calls = iter(range(10_000))

        def stop(path: Path, target: Path, last: int = last, calls: Iterator[int] = calls) -> Path:
            if next(calls) == last:
                raise KeyboardInterrupt
            return put(path, target)

        state = tmp_path / str(last)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", stop)
            with pytest.raises(KeyboardInterrupt):
                IndexStore(state).build(plan_of(data), data, prepare, Device(network).submit)
        device = Device(network)
        IndexStore(state).build(plan_of(data), data, prepare, device.submit)
        assert device.batches == max(SHARDS - last, 0)
        assert files(state) == files(tmp_path / "whole")


def test_a_builder_whose_folder_is_removed_by_one_that_has_ended(
    tmp_path: Path, network: Network, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(10_000))

    def overtaken(files: Files, plan: IndexPlan, *rest: Any) -> None:
        if next(calls) == 1:
            with monkeypatch.context() as patch:
                patch.setattr("service.index.build.save_shard", save_shard)
                IndexStore(tmp_path).build(plan, data, prepare, Device(network).submit)
            raise FileNotFoundError("the temporary file is gone")
        save_shard(files, plan, *rest)

    monkeypatch.setattr("service.index.build.save_shard", overtaken)
    device = Device(network)
    IndexStore(tmp_path).build(plan_of(data), data, prepare, device.submit)
    assert device.batches <= SHARDS
    assert_brute_force(IndexStore(tmp_path), data, network)
    assert shards(tmp_path) == []


def test_a_full_disk_ends_a_build_and_leaves_the_index_of_before(
    tmp_path: Path, network: Network, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = IndexStore(tmp_path)
    store.build(plan_of(data, limit=70), data, prepare, Device(network).submit)
    before = files(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("service.files.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            store.build(plan_of(data), data, prepare, Device(network).submit)
    assert files(tmp_path) == before
    assert_brute_force(store, data, network, 70)


def test_a_build_that_waits_for_the_device_can_be_cancelled(tmp_path: Path, data: Dataset) -> None:
    asked = iter(range(10_000))

    def busy(procedure: Procedure[BatchSummaries]) -> "Future[BatchSummaries]":
        raise QueueFull(9, 0.0)

    with pytest.raises(CancelledError, match="waited"):
        IndexStore(tmp_path).build(
            plan_of(data), data, prepare, busy, cancelled=lambda: next(asked) > 5
        )


def test_shards_know_few_labels_of_many(tmp_path: Path, network: Network) -> None:
    labels = [
        None if image % 7 == 3 else 10 * (image // 40) for image in range(COUNT)
    ]  # others in each shard
    plain = dataset(pictures())

    def item(index: int) -> tuple[str, bytes, int | None]:
        return (*plain.source.item(index)[:2], labels[index])

    data = Dataset("mine", "memory", Source(COUNT, item, label_count=41))
    store, x = IndexStore(tmp_path), maps(network, pictures(), "conv")
    store.build(replace(plan_of(data), labels=41), data, prepare, Device(network).submit)
    for label in range(41):
        mine = [image for image in range(COUNT) if labels[image] == label]
        for unit in range(5):
            got = store.find(Subject.of("net", "d1", data), "conv", unit, K, "max", label).hits
            assert got == expected(x, "conv", unit, "max", mine)[:K]
