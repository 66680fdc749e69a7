"""The images of an audit, read and decoded in threads ahead of the device."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.datasets import Dataset, Sample
from service.datasets.samples import LeftOut, read_or_leave_out
from service.imaging import Pixels, Preprocessing, decode

T = TypeVar("T")
Wait = Callable[
    ["Future[AuditImage | LeftOut]"], "AuditImage | LeftOut"
]  # a future's result, unless the audit is cancelled

_AHEAD = 2  # shards being read and decoded


@dataclass(frozen=True)
class AuditImage:
    """An image as each network takes it."""

    id: int
    name: str
    label: int
    pixels: list[Pixels]  # one a network, (C, H, W)


@dataclass(frozen=True, eq=False)
class ShardImages:
    """The B images of a shard in the audit's order, and those that were left out of it."""

    ids: NDArray[np.int64]  # (B,)
    names: list[str]
    labels: NDArray[np.int64]  # (B,) classes of the networks
    pixels: list[Pixels]  # one a network, (B, C, H, W)
    left_out: list[LeftOut]


def read_shards(
    dataset: Dataset,
    parts: Sequence[NDArray[np.int64]],
    classes: Sequence[int],
    preprocessings: Sequence[Preprocessing],
    wait: Wait,
    workers: int = 2,
) -> Generator[ShardImages, None, None]:
    """The images with the numbers of each of the `parts`, in order.

    Args:
        classes: for each label of the data set the class of the networks.
        preprocessings: one a network.
        wait: as above; what it raises ends the reading.

    Raises:
        DatasetError: an image cannot be read or decoded, or has no label, and the data set leaves
            none out; the message names it.
    """
    loading: deque[list[Future[AuditImage | LeftOut]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        ahead = iter(parts)
        for _ in parts:
            while len(loading) < _AHEAD and (following := next(ahead, None)) is not None:
                nearby = sorted(
                    following.tolist()
                )  # images that are stored together are read one after the other
                futures = {
                    index: pool.submit(_load, dataset, index, classes, preprocessings)
                    for index in nearby
                }
                loading.append([futures[index] for index in following.tolist()])
            shapes = [preprocessing.shape for preprocessing in preprocessings]
            yield _joined([wait(image) for image in loading.popleft()], shapes)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _load(
    dataset: Dataset, index: int, classes: Sequence[int], preprocessings: Sequence[Preprocessing]
) -> AuditImage | LeftOut:
    def loaded(sample: Sample) -> AuditImage:
        image, label = decode(sample.image), _class(sample, classes)
        pixels = [preprocessing.apply(image) for preprocessing in preprocessings]
        return AuditImage(index, sample.name, label, pixels)

    return read_or_leave_out(dataset, index, loaded)


def _class(sample: Sample, classes: Sequence[int]) -> int:
    if sample.label is None:
        raise ValueError("it has no label")
    if sample.label >= len(classes) or classes[sample.label] < 0:
        raise ValueError(f"its label {sample.label} is no class of the networks")
    return classes[sample.label]


def _joined(
    loaded: Sequence[AuditImage | LeftOut], shapes: Sequence[tuple[int, int, int]]
) -> ShardImages:
    images = [one for one in loaded if not isinstance(one, LeftOut)]
    return ShardImages(
        np.array([image.id for image in images], dtype=np.int64),
        [image.name for image in images],
        np.array([image.label for image in images], dtype=np.int64),
        [
            np.stack([image.pixels[network] for image in images])
            if images
            else np.zeros((0, *shape), np.uint8)
            for network, shape in enumerate(shapes)
        ],
        [one for one in loaded if isinstance(one, LeftOut)],
    )
