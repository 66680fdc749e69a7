"""Building an exemplar index against a bare forward pass, its memory, and how long a query
takes.
"""

import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.figure import Figure, Figures
from bench.setting import MODEL, SIZE, Setting
from bench.timing import interleaved, ratio, seconds
from interp.exemplars import ActivationSummary
from interp.network.network import Network
from service.config import Settings
from service.datasets import Dataset, Source
from service.datasets.tables.parquet import parquet_source
from service.engine.engine import Engine
from service.engine.job import Priority
from service.engine.limits import EngineLimits
from service.engine.metrics import Metrics
from service.imaging import decode, png
from service.index.scan import BatchSummaries, Prepare, Submit
from service.index.store import IndexPlan, IndexStore, Order, Subject

LAYERS = ("layer2.2", "layer3.2")
BATCH, THREADS = 64, 2
MANY, UNITS = 100_000, 512  # images and units of the index that is queried
ORDERS: tuple[Order, ...] = ("max", "min", "mean", "magnitude", "quantile")

_SIGNATURE = b"\x89PNG\r\n\x1a\n"  # what a data set takes for an image that it need not convert


@dataclass(frozen=True, eq=False)
class _Hosted:
    network: Network
    bytes_per_row: int = 2**20
    name: str = "bench"


def indexing(place: Setting, repeats: int = 5) -> Figures:
    """CIFAR-10's test set (noise without STRIATE_DATA) through two layers of `cifar_resnet20`;
    queries of a made-up index.
    """
    network, data, seen = place.local, _cifar(), place.published(MODEL)[1].preprocessing

    def prepare(image: bytes) -> NDArray[np.uint8]:
        return seen.apply(decode(image))

    count = min(place.rows or 2048, len(data))
    pixels = np.stack(
        [prepare(data.read(i * len(data) // count, 1)[0].image) for i in range(count)]
    )  # (N, 3, 32, 32) uint8
    figures = Figures()
    with _engine(network, place.threads) as submit, tempfile.TemporaryDirectory() as folder:
        calls: dict[str, Callable[[], object]] = {
            "bare": partial(_bare, network, pixels),
            "index": partial(_build, folder, network, *_decoded(pixels), submit, count),
            "bare, decoding": partial(_bare_decoding, network, data, prepare, count),
            "index, decoding": partial(_build, folder, network, data, prepare, submit, count),
        }
        times = interleaved(calls, repeats)
        about = f"index of {'+'.join(LAYERS)} of {MODEL}, {count} images"
        figures[f"{about}: images/s"] = Figure(count / statistics.median(times["index"]))
        figures[f"{about}: images/s over a bare forward pass"] = Figure(
            ratio(times, "bare", "index"), at_least=0.9
        )
        figures[f"{about}: images/s over a bare loop, both decoding"] = Figure(
            ratio(times, "bare, decoding", "index, decoding"), at_least=0.9
        )
        figures |= _memory(partial(_build, folder, network, data, prepare, submit))
        figures |= _queries(folder)
    return figures


def _memory(build: Callable[[int], object]) -> Figures:
    """How much more memory an index of 10,000 images takes than one of 2,000."""
    build(2000)
    peaks = [_peak(partial(build, images)) for images in (2000, 10_000)]
    about = "index of 10,000 images over one of 2,000: MiB that the process holds more at its peak"
    return {
        about: Figure(
            (peaks[1] - peaks[0]) / 2**10, at_most=50.0, note=f"of {peaks[0] / 2**10:.0f} MiB"
        )
    }


def _queries(folder: str) -> Figures:
    """Milliseconds of a query that maps the index into memory and reads one unit."""
    data = Dataset("made-up", "", Source(MANY, _number, label_count=10))
    plan = IndexPlan(
        Subject.of("made-up", "", data),
        {"layer": (UNITS, 14, 14)},
        9,
        labels=10,
        shard_images=16384,
    )
    store = IndexStore(Path(folder), f"{folder}/many")
    took = seconds(
        lambda: store.build(
            plan, data, lambda _: np.zeros((1, 1, 1), np.uint8), _made_up, batch=1024
        )
    )
    rng, times = random.Random(0), list[float]()
    for number in range(1000):
        ask = partial(
            store.find, plan.subject, "layer", rng.randrange(UNITS), 9, ORDERS[number % len(ORDERS)]
        )
        times.append(seconds(ask))
    about = f"query of an index of {MANY} images and {UNITS} units"
    return {
        f"{about}: p50 in ms": Figure(1000 * statistics.median(times), at_most=5.0),
        f"{about}: p99 in ms": Figure(1000 * float(np.percentile(times, 99))),
        f"{about}: seconds to make it from given activations": Figure(took),
    }


def _cifar() -> Dataset:
    data = os.environ.get("STRIATE_DATA")
    if data:
        return Dataset("cifar10-test", "", parquet_source(f"{data}/cifar10/test.parquet"))
    noise = np.random.default_rng(0).integers(0, 256, (10_000, 3, SIZE, SIZE), np.uint8)
    return Dataset("noise", "", Source(len(noise), partial(_noisy, noise)))


def _noisy(noise: NDArray[np.uint8], index: int) -> tuple[str, bytes, int | None]:
    return "", png(noise[index]), index % 10


@contextmanager
def _engine(network: Network, threads: int) -> Iterator[Submit]:
    limits = EngineLimits.for_device("cpu", Settings(tick_rows=BATCH, threads=threads))
    engine, model = Engine(Metrics(), limits), _Hosted(network)
    try:
        yield lambda procedure: engine.submit(model, procedure, priority=Priority.BATCH)
    finally:
        engine.close(5)


def _build(
    folder: str, network: Network, data: Dataset, prepare: Prepare, submit: Submit, images: int
) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as state:
        shapes = {layer: network.output_shapes[layer] for layer in LAYERS}
        plan = IndexPlan(
            Subject.of(MODEL, "", data), shapes, 9, images, labels=10, shard_images=1024
        )
        IndexStore(Path(state)).build(plan, data, prepare, submit, batch=BATCH, workers=THREADS)


def _decoded(pixels: NDArray[np.uint8]) -> tuple[Dataset, Prepare]:
    """The pixels as a data set whose images are their numbers, and what looks them up."""
    return Dataset(
        "decoded", "", Source(len(pixels), _number, label_count=10)
    ), lambda data: pixels[int(data[len(_SIGNATURE) :])]


def _number(index: int) -> tuple[str, bytes, int | None]:
    return "", _SIGNATURE + str(index).encode(), index % 10


def _bare(network: Network, pixels: NDArray[np.uint8]) -> None:
    for low in range(0, len(pixels), BATCH):
        network.activations(_floats(pixels[low : low + BATCH]), LAYERS)


def _bare_decoding(network: Network, data: Dataset, prepare: Prepare, count: int) -> None:
    """The next batch is decoded while one is computed."""
    with ThreadPoolExecutor(THREADS) as pool:
        batches = [range(low, min(low + BATCH, count)) for low in range(0, count, BATCH)]
        ahead: list[Future[NDArray[np.uint8]]] = []
        for ids in [*batches, range(0)]:
            now, ahead = (
                ahead,
                [
                    pool.submit(lambda index: prepare(data.read(index, 1)[0].image), index)
                    for index in ids
                ],
            )
            if now:
                network.activations(_floats(np.stack([image.result() for image in now])), LAYERS)


def _floats(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels).float() / 255


def _made_up(procedure: object) -> "Future[BatchSummaries]":
    """Activations of as many images as the procedure asks about, for no network's sake."""
    rows = len(next(procedure).images)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(rows)
    maximum = torch.randn(rows, UNITS, generator=generator)
    at = torch.randint(0, 196, (rows, UNITS), generator=generator, dtype=torch.int32)
    future: Future[BatchSummaries] = Future()
    future.set_result(
        {
            "layer": ActivationSummary(
                maximum, at, maximum - 3, at, maximum - 1, maximum.abs(), at, 196
            )
        }
    )
    return future


def _peak(call: Callable[[], object]) -> int:
    """KiB that the process holds at its peak during a call (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    call()
    return next(
        int(line.split()[1])
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
