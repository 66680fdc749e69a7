"""A pass over a data set: images are read and decoded in threads ahead of the device, which always
has a batch to do.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.exemplars import ActivationSummary, summarize_activations
from interp.feature.appearance import appearance
from interp.probe import Procedure
from service.datasets import Dataset, Sample
from service.datasets.samples import LeftOut, read_or_leave_out
from service.engine.submit import submit_when_free

BatchSummaries = dict[str, ActivationSummary]  # by layer
Prepare = Callable[
    [bytes], NDArray[np.uint8]
]  # an encoded image -> (C, H, W) uint8, as the network takes it
Submit = Callable[
    [Procedure[BatchSummaries]], "Future[BatchSummaries]"
]  # hands a procedure to the device's thread

_IN_FLIGHT = 2  # batches submitted: one being computed, one waiting
_AHEAD = 2  # batches being read and decoded

Look = tuple[float, float, float]  # clipped, high frequencies, saturation

_Loaded = tuple[int, NDArray[np.uint8], int | None, str]  # id, pixels, label, name


@dataclass(frozen=True, eq=False)
class ScannedBatch:
    """A batch that has been seen.

    Attributes:
        span: numbers of the images that it is made of.
        ids: of these the ones that could be used.
        labels: of these; None where an image has none.
        names: of these; empty where they are not known.
        summaries: by layer; none where no image could be used.
        left_out: the others.
        looks: how those that are looked at look, see `interp.feature.appearance`.
    """

    span: range
    ids: list[int]
    labels: list[int | None]
    names: list[str]
    summaries: BatchSummaries
    left_out: list[LeftOut]
    looks: list[Look]


def scan(
    dataset: Dataset,
    batches: Iterable[range],
    layers: Sequence[str],
    prepare: Prepare,
    submit: Submit,
    workers: int = 2,
    look_step: int = 1,
) -> Generator[ScannedBatch, None, None]:
    """Find the peaks of `layers` on the images of each batch, in order.

    Closing the iterator cancels what has been submitted.

    Args:
        dataset: that is read.
        batches: numbers of the images of each batch; they are taken one by one, a few ahead of the
            device.
        layers: dotted names.
        prepare: makes a network's input of an image.
        submit: hands a procedure to the thread of the device.
        workers: number of threads that decode.
        look_step: of so many images one is looked at.

    Raises:
        DatasetError: an image cannot be read or decoded, and the data set leaves none out; the
            message names it.
        Exception: whatever the submitted futures raise.
    """
    waiting = iter(batches)
    loading: deque[tuple[range, list[Future[list[_Loaded | LeftOut]]]]] = deque()
    running: deque[tuple[ScannedBatch, Future[BatchSummaries] | None]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        while True:
            while len(loading) < _AHEAD and (ids := next(waiting, None)) is not None:
                loading.append(
                    (
                        ids,
                        [
                            pool.submit(_load, dataset, part, prepare)
                            for part in _parts(ids, workers)
                        ],
                    )
                )
            if loading and len(running) < _IN_FLIGHT:
                ids, futures = loading.popleft()
                loaded = [sample for future in futures for sample in future.result()]
                usable = [one for one in loaded if not isinstance(one, LeftOut)]
                looked_at = [image for index, image, *_ in usable if index % look_step == 0]
                batch = ScannedBatch(
                    ids,
                    [index for index, *_ in usable],
                    [label for _, _, label, _ in usable],
                    [name for *_, name in usable],
                    {},
                    [one for one in loaded if isinstance(one, LeftOut)],
                    appearance(_stack(looked_at)).rows if looked_at else [],
                )
                answer: Future[BatchSummaries] | None = None
                if usable:
                    images = _stack([image for _, image, *_ in usable])
                    procedure = summarize_activations(images, layers)
                    answer = submit_when_free(partial(submit, procedure))
                running.append((batch, answer))
            elif running:
                batch, answer = running.popleft()
                yield batch if answer is None else replace(batch, summaries=answer.result())
            else:
                break
    finally:
        for _, answer in running:
            if answer is not None:
                answer.cancel()
        pool.shutdown(wait=True, cancel_futures=True)


def _parts(ids: range, workers: int) -> list[range]:
    """A batch in so many parts that no worker waits long for another."""
    step = max(1, len(ids) // (4 * workers))
    return [ids[low : low + step] for low in range(0, len(ids), step)]


def _load(dataset: Dataset, ids: range, prepare: Prepare) -> list[_Loaded | LeftOut]:
    def loaded(sample: Sample) -> _Loaded:
        return sample.id, np.asarray(prepare(sample.image)), sample.label, sample.name

    return [read_or_leave_out(dataset, index, loaded) for index in ids]


def _stack(images: list[NDArray[np.uint8]]) -> Tensor:
    """Images (B, C, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(images)).float() / 255
