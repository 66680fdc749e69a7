"""Exemplar indexes, against brute force over the same data set."""

import io
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from interp.ascent import Procedure, solve
from interp.network import Network
from service.datasets import Dataset, DatasetError, Source
from service.index import Hit, IndexMissing, IndexStore, Plan, Subject
from service.jobs import NotFinite, QueueFull
from service.scan import Peaks, Submit

COUNT, SIDE, K = 61, 6, 7
SHAPES = {"conv": (5, 6, 6), "logits": (3,)}


def pictures() -> np.ndarray:
    """(N, SIDE, SIDE) uint8 of few shades, some of them twice, so that there are ties."""
    drawn = np.random.default_rng(0).integers(0, 4, (COUNT, SIDE, SIDE)).astype(np.uint8) * 85
    drawn[40:50] = drawn[10:20]
    return drawn


def dataset(images: np.ndarray, uri: str = "memory") -> Dataset:
    def item(index: int) -> tuple[str, bytes, int | None]:
        buffer = io.BytesIO()
        Image.fromarray(images[index]).save(buffer, "PNG")
        return f"n{index}", buffer.getvalue(), None

    return Dataset("mine", uri, Source(len(images), item))


def prepare(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))[None]


class Net(nn.Module):
    """Small integer weights: every activation is exact, so that ties are ties in any batch."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv, self.head = nn.Conv2d(1, 5, 3, padding=1), nn.Linear(SIDE * SIDE * 5, 3)
        for parameter in self.parameters():
            parameter.data = torch.randint(-1, 2, parameter.shape, generator=generator).float()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.conv(x).flatten(1))
        return out


@pytest.fixture
def network() -> Network:
    return Network(Net(), (1, SIDE, SIDE), mean=[0.0], std=[1 / 3])  # 0, 85, 170 and 255 become 0, 1, 2 and 3


class Device:
    """Answers procedures one at a time in a thread, as the engine does."""

    def __init__(self, network: Network) -> None:
        self.network, self.thread, self.batches, self.waiting, self.most = network, ThreadPoolExecutor(1), 0, 0, 0
        self.lock = threading.Lock()

    def submit(self, procedure: Procedure[Peaks]) -> "Future[Peaks]":
        with self.lock:
            self.batches, self.waiting = self.batches + 1, self.waiting + 1
            self.most = max(self.most, self.waiting)
        return self.thread.submit(self._solve, procedure)

    def _solve(self, procedure: Procedure[Peaks]) -> Peaks:
        found = solve(procedure, self.network)
        with self.lock:
            self.waiting -= 1
        return found


def expected(network: Network, images: np.ndarray, layer: str, unit: int, k: int) -> list[Hit]:
    """Brute force: every activation of every image, sorted."""
    maps = network.activations(torch.from_numpy(images[:, None]).float() / 255, [layer])[layer].double().numpy()
    maps = maps.reshape(len(images), maps.shape[1], -1)[:, unit]  # (N, positions)
    best = sorted((-float(row.max()), image) for image, row in enumerate(maps))[:k]
    width = SIDE if layer == "conv" else 1
    return [Hit(image, -value, *divmod(int(np.flatnonzero(maps[image] == -value)[0]), width)) for value, image in best]


def plan_of(data: Dataset, digest: str = "d1", limit: int = 0, k: int = K) -> Plan:
    return Plan(Subject.of("net", digest, data), SHAPES, k, limit)


def assert_brute_force(store: IndexStore, data: Dataset, network: Network, images: np.ndarray, k: int = K) -> None:
    for layer, shape in SHAPES.items():
        for unit in range(shape[0]):
            found = store.find(Subject.of("net", "d1", data), layer, unit, k)
            assert found.images == len(images)
            hits = found.hits
            wanted = expected(network, images, layer, unit, k)
            assert [(h.id, h.row, h.column) for h in hits] == [(w.id, w.row, w.column) for w in wanted]
            assert [h.activation for h in hits] == pytest.approx([w.activation for w in wanted], abs=1e-4)


def test_an_index_equals_brute_force_and_is_found_again(tmp_path: Path, network: Network) -> None:
    images, device, told = pictures(), Device(network), []
    data = dataset(images)
    store = IndexStore(tmp_path)
    total = store.build(plan_of(data), data, prepare, device.submit, batch=8, progress=lambda *p: told.append(p))
    assert total == COUNT
    assert told == [(done, COUNT) for done in [*range(0, COUNT, 8), COUNT]]
    assert device.batches == 8  # one pass for both layers
    assert device.most <= 2
    assert_brute_force(store, data, network, images)
    again = IndexStore(tmp_path)  # a restart
    assert again.layers(Subject.of("net", "d1", data)) == ["conv", "logits"]
    assert_brute_force(again, data, network, images)
    assert_brute_force(again, data, network, images, k=2)
    assert not list(tmp_path.rglob("*.partial")) + list(tmp_path.rglob("*.tmp"))


def test_a_limit_and_a_k_beyond_the_images(tmp_path: Path, network: Network) -> None:
    images, store = pictures(), IndexStore(tmp_path)
    data = dataset(images)
    assert store.build(plan_of(data, limit=5), data, prepare, Device(network).submit, batch=3) == 5
    assert_brute_force(store, data, network, images[:5])


def dying(submit: Submit, after: int, error: Callable[[], Exception]) -> Submit:
    """A device that fails from batch `after` on."""
    calls = iter(range(10_000))

    def failing(procedure: Procedure[Peaks]) -> "Future[Peaks]":
        if next(calls) < after:
            return submit(procedure)
        future: Future[Peaks] = Future()
        future.set_exception(error())
        return future

    return failing


def test_a_build_that_died_goes_on_from_its_checkpoint(tmp_path: Path, network: Network) -> None:
    images, device = pictures(), Device(network)
    data = dataset(images)
    with pytest.raises(RuntimeError, match="power"):
        IndexStore(tmp_path).build(
            plan_of(data), data, prepare, dying(device.submit, 6, lambda: RuntimeError("power")), batch=4, checkpoint_every=8
        )
    store, told, after = IndexStore(tmp_path), [], Device(network)  # a new process
    with pytest.raises(IndexMissing):
        store.find(Subject.of("net", "d1", data), "conv", 0, K)
    store.build(plan_of(data), data, prepare, after.submit, batch=4, progress=lambda done, _: told.append(done))
    assert told[0] == 24  # 6 batches of 4 were done, and the last checkpoint was after them
    assert after.batches == 10  # the 37 images that were left
    assert_brute_force(store, data, network, images)


def test_a_cancelled_build_keeps_what_it_found(tmp_path: Path, network: Network) -> None:
    images, told = pictures(), [0]
    data = dataset(images)
    store = IndexStore(tmp_path)
    with pytest.raises(CancelledError, match="20 of 61"):
        store.build(
            plan_of(data), data, prepare, Device(network).submit, batch=4,
            progress=lambda done, _: told.append(done), cancelled=lambda: told[-1] >= 20,
        )  # fmt: skip
    device = Device(network)
    store.build(plan_of(data), data, prepare, device.submit, batch=4)
    assert device.batches == 11
    assert_brute_force(store, data, network, images)


def test_a_device_that_cancels_leaves_a_checkpoint(tmp_path: Path, network: Network) -> None:
    data, store = dataset(pictures()), IndexStore(tmp_path)
    with pytest.raises(CancelledError):
        store.build(plan_of(data), data, prepare, dying(Device(network).submit, 3, CancelledError), batch=4)
    device = Device(network)
    store.build(plan_of(data), data, prepare, device.submit, batch=4)
    assert device.batches == 13  # 49 images
    assert_brute_force(store, data, network, pictures())


def test_a_full_queue_is_waited_for(tmp_path: Path, network: Network) -> None:
    data, store, device, calls = dataset(pictures()), IndexStore(tmp_path), Device(network), iter(range(10_000))

    def busy(procedure: Procedure[Peaks]) -> "Future[Peaks]":
        if next(calls) % 3:
            raise QueueFull(9, 0.0)
        return device.submit(procedure)

    store.build(plan_of(data), data, prepare, busy, batch=8)
    assert_brute_force(store, data, network, pictures())


def test_a_damaged_checkpoint_is_built_again(tmp_path: Path, network: Network) -> None:
    data, store = dataset(pictures()), IndexStore(tmp_path)
    (tmp_path / "indexes" / f"{plan_of(data).key}.partial").write_bytes(b"half a file")
    store.build(plan_of(data), data, prepare, Device(network).submit)
    assert_brute_force(store, data, network, pictures())


def test_only_the_right_index_is_used(tmp_path: Path, network: Network) -> None:
    data, store = dataset(pictures()), IndexStore(tmp_path)
    store.build(plan_of(data), data, prepare, Device(network).submit)
    for subject, stale in [
        (Subject.of("net", "d2", data), True),  # other weights
        (Subject.of("net", "d1", dataset(pictures()[:50])), True),  # the data set shrank
        (Subject.of("net", "d1", dataset(pictures(), "elsewhere")), True),  # another place under the same name
        (Subject.of("other", "d1", data), False),
    ]:
        assert store.layers(subject) == []
        with pytest.raises(IndexMissing, match="build it") as caught:
            store.find(subject, "conv", 0, K)
        assert caught.value.stale is stale
    with pytest.raises(IndexMissing):
        store.find(Subject.of("net", "d1", data), "head", 0, K)
    with pytest.raises(ValueError, match="units 0 to 4, not 5"):
        store.find(Subject.of("net", "d1", data), "conv", 5, K)


def test_a_second_build_replaces_the_first(tmp_path: Path, network: Network) -> None:
    data, store = dataset(pictures()), IndexStore(tmp_path)
    store.build(plan_of(data, k=1), data, prepare, Device(network).submit)
    store.build(plan_of(data, k=K), data, prepare, Device(network).submit)
    assert_brute_force(IndexStore(tmp_path), data, network, pictures())
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2


def test_a_smaller_index_does_not_replace_a_larger_one(tmp_path: Path, network: Network) -> None:
    images, store = pictures(), IndexStore(tmp_path)
    data = dataset(images)

    def build(limit: int, k: int) -> int:
        return store.build(plan_of(data, limit=limit, k=k), data, prepare, Device(network).submit)

    assert build(9, K) == 9
    assert_brute_force(store, data, network, images[:9])
    build(0, K)
    assert build(9, K + 1) == 9
    build(0, K - 2)
    for reader in (store, IndexStore(tmp_path)):
        assert_brute_force(reader, data, network, images)
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])  # what cannot be read is replaced by anything
    build(9, K)
    for reader in (store, IndexStore(tmp_path)):
        assert_brute_force(reader, data, network, images[:9])


def test_names_stay_inside_the_folder(tmp_path: Path, network: Network) -> None:
    images, store = pictures(), IndexStore(tmp_path / "state")
    data = Dataset("../../up", "memory", dataset(images).source)
    plan = Plan(Subject.of("/etc/../model", "d", data), {"conv": (5, 6, 6)}, K)
    store.build(plan, data, prepare, Device(network).submit)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent for path in files] == [tmp_path / "state" / "indexes"]
    assert IndexStore(tmp_path / "state").layers(plan.subject) == ["conv"]


def test_damaged_indexes_do_not_stop_a_start(tmp_path: Path, network: Network) -> None:
    data = dataset(pictures())
    IndexStore(tmp_path).build(plan_of(data), data, prepare, Device(network).submit)
    paths = sorted((tmp_path / "indexes").glob("*.safetensors"))
    paths[0].write_bytes(b"")
    store = IndexStore(tmp_path)
    assert store.layers(Subject.of("net", "d1", data)) == ["logits"]
    paths[1].unlink()
    with pytest.raises(IndexMissing, match="build it again"):
        store.find(Subject.of("net", "d1", data), "logits", 0, K)


def test_errors_name_the_image(tmp_path: Path, network: Network) -> None:
    def corrupt(data: bytes) -> np.ndarray:
        raise ValueError("not a picture")

    data, store = dataset(pictures()), IndexStore(tmp_path)
    with pytest.raises(DatasetError, match=r"image 0 \('n0'\) of data set 'mine' cannot be used: not a picture"):
        store.build(plan_of(data), data, corrupt, Device(network).submit)
    empty = dataset(pictures()[:0])
    with pytest.raises(DatasetError, match="'mine' is empty"):
        store.build(plan_of(empty), empty, prepare, Device(network).submit)


def test_nan_ends_a_build(tmp_path: Path, network: Network) -> None:
    network.module.get_parameter("conv.weight")[0, 0, 1, 1] = torch.nan
    data, store = dataset(pictures()), IndexStore(tmp_path)
    with pytest.raises(NotFinite, match=r"layer 'conv' on image 0 is not a number"):
        store.build(plan_of(data), data, prepare, Device(network).submit)
