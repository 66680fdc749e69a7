"""Mean magnitude spectra of data sets, for MACO: computed once, and kept.

`<state>/spectra/<key>.safetensors` holds one, under all that it depends on: the data set, how many
of its images, and how they are cut to size.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import asdict
from pathlib import Path

import numpy as np
import structlog
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from interp.feature.params.spectrum import Spectrum
from service import files as whole_file
from service.datasets import Dataset, DatasetError
from service.datasets.samples import image
from service.imaging import Preprocessing

_FORMAT = 1
_BATCH = 32  # images decoded at a time
_FLAT = 1e-6  # magnitudes below this are rounding

log = structlog.get_logger("striate")


class SpectrumStore:
    """The spectra in a folder. It may be used from several threads; whoever asks for what another
    computes waits for that.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def magnitude(
        self,
        dataset: Dataset,
        seen: Preprocessing,
        images: int,
        cancelled: Callable[[], bool] = bool,
    ) -> Tensor:
        """The mean magnitudes (C, H, W // 2 + 1) float32 of the data set's first `images` images,
        cut as `seen` says.

        It blocks, and reads the images unless an earlier call did.

        Raises:
            DatasetError: the data set is empty, an image cannot be read, or all are of one colour.
            CancelledError: `cancelled` said so.
        """
        count = min(images, len(dataset))
        name = identity(dataset, seen, count)
        path = self._folder / f"{name}.safetensors"
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            found = _kept(path)
            if found is None:
                found = _computed(dataset, seen, count, cancelled)
                _keep(path, found)
            return found


def identity(dataset: Dataset, seen: Preprocessing, images: int) -> str:
    """Names the spectrum of so many images: equal for equal ones."""
    about = [
        _FORMAT,
        dataset.name,
        dataset.uri,
        len(dataset),
        min(images, len(dataset)),
        asdict(seen),
    ]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _kept(path: Path) -> Tensor | None:
    try:
        magnitude: Tensor = load(path.read_bytes())["magnitude"]
        return magnitude
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError) as error:
        log.warning(
            "a spectrum cannot be read and is computed again", path=str(path), error=str(error)
        )
        return None


def _keep(path: Path, magnitude: Tensor) -> None:
    """Write a spectrum; a disk that does not take it is logged, as the spectrum itself is not lost
    by that.
    """
    try:
        whole_file.write(path, save({"magnitude": magnitude}))
    except OSError as error:
        log.warning("a spectrum cannot be kept", path=str(path), error=str(error))


def _computed(
    dataset: Dataset, seen: Preprocessing, count: int, cancelled: Callable[[], bool]
) -> Tensor:
    if not count:
        raise DatasetError(f"data set {dataset.name!r} is empty: it has no spectrum")
    spectrum = Spectrum(seen.shape)
    for first in range(0, count, _BATCH):
        if cancelled():
            raise CancelledError(f"stopped after {first} of {count} images")
        some = [image(dataset, index, seen) for index in range(first, min(first + _BATCH, count))]
        spectrum.update(torch.from_numpy(np.stack(some)).float() / 255)
    magnitude = spectrum.magnitude.float()
    if magnitude.flatten(1)[:, 1:].max() < _FLAT:
        raise DatasetError(
            f"the first {count} images of data set {dataset.name!r} are of one colour: "
            f"they have no spectrum"
        )
    return magnitude
