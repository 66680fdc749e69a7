"""A pass over a data set: images are read and decoded in threads ahead of the device, which always has a batch to do."""

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.ascent import Procedure
from interp.exemplars import peaks
from service.datasets import Dataset, DatasetError
from service.jobs import QueueFull

Peaks = dict[str, tuple[Tensor, Tensor]]  # layer -> highest activations (B, U) and their positions (B, U)
Prepare = Callable[[bytes], NDArray[np.uint8]]  # an encoded image -> (C, H, W) uint8, as the network takes it
Submit = Callable[[Procedure[Peaks]], "Future[Peaks]"]  # hands a procedure to the device's thread

_IN_FLIGHT = 2  # batches submitted: one being computed, one waiting
_AHEAD = 2  # batches being read and decoded
_LONGEST_PAUSE = 1.0  # seconds until the next try when the queue is full


def scan(
    dataset: Dataset, span: range, layers: Sequence[str], batch: int, prepare: Prepare, submit: Submit, workers: int = 2
) -> Generator[tuple[Tensor, Peaks], None, None]:
    """The peaks of `layers` on the images of `span`, a batch at a time and in order: (ids (B,) int64, peaks).

    Batches begin at multiples of `batch` from the span's start, so that a pass that is taken up at such a place computes
    what the whole pass would have. Closing the iterator cancels what has been submitted.

    Raises:
        DatasetError: an image cannot be read or decoded; the message names it.
        Exception: whatever the submitted futures raise.
    """
    starts = deque(range(span.start, span.stop, batch))
    loading: deque[tuple[range, list[Future[NDArray[np.uint8]]]]] = deque()
    running: deque[tuple[range, Future[Peaks]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        while starts or loading or running:
            while starts and len(loading) < _AHEAD:
                first = starts.popleft()
                ids = range(first, min(first + batch, span.stop))
                loading.append((ids, [pool.submit(_load, dataset, index, prepare) for index in ids]))
            if loading and len(running) < _IN_FLIGHT:
                ids, images = loading.popleft()
                running.append((ids, _submit(submit, peaks(_stack([image.result() for image in images]), layers))))
            else:
                ids, answer = running.popleft()
                yield torch.arange(ids.start, ids.stop), answer.result()
    finally:
        for _, answer in running:
            answer.cancel()
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(submit: Submit, procedure: Procedure[Peaks]) -> "Future[Peaks]":
    """Submit, waiting while the device's queue is full: a pass over a data set gives way to those who cannot wait."""
    while True:
        try:
            return submit(procedure)
        except QueueFull as full:
            time.sleep(min(full.retry_after, _LONGEST_PAUSE))


def _load(dataset: Dataset, index: int, prepare: Prepare) -> NDArray[np.uint8]:
    (sample,) = dataset.read(index, 1)
    try:
        return np.asarray(prepare(sample.image))
    except (ValueError, OSError) as error:
        raise DatasetError(f"image {index} ({sample.name!r}) of data set {dataset.name!r} cannot be used: {error}") from error


def _stack(images: list[NDArray[np.uint8]]) -> Tensor:
    """Images (B, C, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(images)).float() / 255
