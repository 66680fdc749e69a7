"""A small data set, a network whose activations are exact in any batch, and a device that answers
for it.
"""

import io
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from interp.network.network import Network
from interp.probe import Procedure, solve
from service.datasets import Dataset, Source
from service.index.scan import BatchSummaries, Submit
from service.index.store import Hit, IndexPlan, IndexStore, Order, Subject

COUNT, SIDE, K, LABELS = 161, 6, 7, 3
SHAPES = {"conv": (5, 6, 6), "logits": (3,)}


def pictures(count: int = COUNT) -> np.ndarray:
    """(N, SIDE, SIDE) uint8 of few shades, some of them twice, so that there are ties."""
    drawn = np.random.default_rng(0).integers(0, 4, (COUNT, SIDE, SIDE)).astype(np.uint8) * 85
    drawn[40:50] = drawn[10:20]
    return drawn[:count]


def label_of(image: int) -> int | None:
    """Unknown for every fifth."""
    return None if image % 5 == 4 else image % 5 % LABELS


def dataset(images: np.ndarray, uri: str = "memory", name: str = "mine") -> Dataset:
    """The pictures as a data set with labels."""

    def item(index: int) -> tuple[str, bytes, int | None]:
        buffer = io.BytesIO()
        Image.fromarray(images[index]).save(buffer, "PNG")
        return f"n{index}", buffer.getvalue(), label_of(index)

    return Dataset(name, uri, Source(len(images), item, label_count=LABELS))


def prepare(data: bytes) -> np.ndarray:
    """Decode."""
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
        """0, 1, 2 and 3 -> logits."""
        out: Tensor = self.head(self.conv(x.round()).flatten(1))
        return out


def small_network() -> Network:
    """It maps the shades 0, 85, 170 and 255 to 0, 1, 2 and 3."""
    return Network(Net(), (1, SIDE, SIDE), mean=[0.0], std=[1 / 3])


class Device:
    """Answers procedures one at a time in a thread, as the engine does."""

    def __init__(self, network: Network) -> None:
        self.network, self.thread, self.batches, self.waiting, self.most = (
            network,
            ThreadPoolExecutor(1),
            0,
            0,
            0,
        )
        self.lock = threading.Lock()

    def submit(self, procedure: Procedure[BatchSummaries]) -> "Future[BatchSummaries]":
        """Queue a procedure."""
        with self.lock:
            self.batches, self.waiting = self.batches + 1, self.waiting + 1
            self.most = max(self.most, self.waiting)
        return self.thread.submit(self._solve, procedure)

    def _solve(self, procedure: Procedure[BatchSummaries]) -> BatchSummaries:
        found = solve(procedure, self.network)
        with self.lock:
            self.waiting -= 1
        return found


def dying(submit: Submit, after: int, error: Callable[[], Exception]) -> Submit:
    """A device that fails from batch `after` on."""
    calls = iter(range(10_000))

    def failing(procedure: Procedure[BatchSummaries]) -> "Future[BatchSummaries]":
        if next(calls) < after:
            return submit(procedure)
        future: Future[BatchSummaries] = Future()
        future.set_exception(error())
        return future

    return failing


def plan_of(
    data: Dataset, digest: str = "d1", limit: int = 0, k: int = K, class_k: int | None = None
) -> IndexPlan:
    """Shards of 64 images, the fewest."""
    return IndexPlan(
        Subject.of("net", digest, data),
        SHAPES,
        k,
        limit,
        LABELS,
        class_k,
        shard_images=64,
        quantiles=(0.0, 0.3, 0.75, 1.0),
    )


def maps(network: Network, images: np.ndarray, layer: str) -> np.ndarray:
    """(N, U, positions) float64, all in one batch."""
    found = (
        network.activations(torch.from_numpy(images[:, None]).float() / 255, [layer])[layer]
        .double()
        .numpy()
    )
    return found.reshape(len(images), found.shape[1], -1)


def expected(x: np.ndarray, layer: str, unit: int, order: Order, among: list[int]) -> list[Hit]:
    """All images by an order, sorted one by one; x (N, U, positions)."""
    hits, width = [], SIDE if layer == "conv" else 1
    for image in among:
        row = x[image, unit]
        mean = np.full(1, np.float32(row.mean()))
        score = {
            "max": row,
            "min": -row,
            "magnitude": np.abs(row),
            "mean": mean,
            "lowest_mean": -mean,
            "mean_magnitude": np.abs(mean),
            "quantile": row,
        }[order]
        at = int(score.argmax())
        value = float(mean[0] if "mean" in order else row[at])
        hits.append((-score[at], image, Hit(image, value, at // width, at % width)))
    return [hit for _, _, hit in sorted(hits, key=lambda entry: entry[:2])]


def assert_brute_force(
    store: IndexStore, data: Dataset, network: Network, count: int = COUNT, k: int = K
) -> None:
    """Every unit of every layer, by every order and label; statistics too."""
    for layer, shape in SHAPES.items():
        x = maps(network, pictures(count), layer)
        for unit in range(shape[0]):
            _assert_unit(store, Subject.of("net", "d1", data), layer, unit, x, k)


def _assert_unit(
    store: IndexStore, subject: Subject, layer: str, unit: int, x: np.ndarray, k: int
) -> None:
    everything = list(range(len(x)))
    orders: list[Order] = ["max", "min", "magnitude"]
    for order in orders:
        found = store.find(subject, layer, unit, k, order)
        assert found.images == len(x)
        assert found.hits == expected(x, layer, unit, order, everything)[:k]
    for order in ("lowest_mean", "mean_magnitude"):  # sums are exact: equal ones are ties
        found = store.find(subject, layer, unit, k, order)
        wanted = expected(x, layer, unit, order, everything)[:k]
        assert [hit.id for hit in found.hits] == [hit.id for hit in wanted]
        np.testing.assert_allclose(
            [hit.activation for hit in found.hits],
            [hit.activation for hit in wanted],
            rtol=1e-6,
            atol=1e-6,
        )
    means = store.find(subject, layer, unit, k, "mean").hits
    assert [hit.activation for hit in means] == sorted(
        (np.float32(row[unit].mean()) for row in x), reverse=True
    )[:k]
    for label in range(LABELS):
        mine = [image for image in everything if label_of(image) == label]
        assert (
            store.find(subject, layer, unit, k, "max", label).hits
            == expected(x, layer, unit, "max", mine)[:k]
        )
    rising = sorted((row[unit].max(), image) for image, row in enumerate(x))
    samples = store.find(subject, layer, unit, 100, "quantile").hits
    assert [hit.quantile for hit in samples] == [0.0, 0.3, 0.75, 1.0]
    for hit in samples:
        assert hit.quantile is not None
        value, image = rising[int(hit.quantile * (len(x) - 1) + 0.5)]
        (alone,) = expected(x, layer, unit, "max", [image])
        assert (hit.activation, hit.id, hit.row, hit.column) == (
            value,
            image,
            alone.row,
            alone.column,
        )
