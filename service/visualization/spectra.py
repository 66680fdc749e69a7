"""Mean magnitude spectra of data sets, for MACO: computed once, and kept.

`<state>/spectra/<key>.safetensors` holds one, under all that it depends on: the data set, how many
of its images, and how they are cut to size.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from interp.feature.params.spectrum import Spectrum
from service import files as whole_file
from service.datasets import Dataset, DatasetError
from service.datasets.samples import images
from service.imaging import Preprocessing

_FORMAT = 1
_BATCH = 32  # images decoded at a time
_NOISE = 1e-6  # magnitudes below this are rounding

log = structlog.get_logger("striate")


@dataclass(frozen=True, eq=False)
class DatasetSpectrum:
    """The mean magnitudes (C, H, W // 2 + 1) of a data set's images, and what names them."""

    magnitude: Tensor
    identity: str


class SpectrumStore:
    """The spectra in a folder. It may be used from several threads; whoever asks for what another
    computes waits for that.

    Args:
        folder: where they are kept; made when the first one comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def magnitude(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        images: int,
        cancelled: Callable[[], bool] = bool,
    ) -> Tensor:
        """Find the mean magnitudes of a data set's first images. Blocks, and reads the images
        unless an earlier call did.

        Args:
            dataset: to read from.
            preprocessing: how the images are cut to size.
            images: how many, at least 1; all if there are fewer.
            cancelled: whether to stop, asked again and again.

        Returns:
            (C, H, W // 2 + 1) float32.

        Raises:
            DatasetError: The data set is empty, an image cannot be read, or all are of one colour.
            CancelledError: `cancelled` said so.
        """
        count = min(images, len(dataset))
        name = identity(dataset, preprocessing, count)
        path = self._folder / f"{name}.safetensors"
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            found = _read(path)
            if found is None:
                found = _compute(dataset, preprocessing, count, cancelled)
                _write(path, found)
            return found


def identity(dataset: Dataset, preprocessing: Preprocessing, images: int) -> str:
    """Name a spectrum.

    Args:
        dataset: whose it is.
        preprocessing: how the images are cut to size.
        images: how many.

    Returns:
        64 hexadecimal digits, equal for equal spectra.
    """
    content = [
        _FORMAT,
        dataset.name,
        dataset.uri,
        dataset.content,
        len(dataset),
        min(images, len(dataset)),
        asdict(preprocessing),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> Tensor | None:
    """The magnitudes in a file; None if there is none, or a damaged one."""
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


def _write(path: Path, magnitude: Tensor) -> None:
    """Write a spectrum; a disk that does not take it is logged, as the spectrum itself is not lost
    by that.
    """
    try:
        whole_file.write(path, save({"magnitude": magnitude}))
    except OSError as error:
        log.warning("a spectrum cannot be kept", path=str(path), error=str(error))


def _compute(
    dataset: Dataset, preprocessing: Preprocessing, count: int, cancelled: Callable[[], bool]
) -> Tensor:
    """The mean magnitudes of the first `count` images."""
    if not count:
        raise DatasetError(f"data set {dataset.name!r} is empty: it has no spectrum")
    spectrum, used = Spectrum(preprocessing.shape), False
    for first in range(0, count, _BATCH):
        if cancelled():
            raise CancelledError(f"stopped after {first} of {count} images")
        batch = range(first, min(first + _BATCH, count))
        pixels = images(dataset, batch, preprocessing)
        if len(pixels):
            spectrum.update(torch.from_numpy(pixels).float() / 255)
            used = True
    if not used:
        raise DatasetError(
            f"none of the first {count} images of data set {dataset.name!r} is usable"
        )
    magnitude = spectrum.magnitude.float()
    if magnitude.flatten(1)[:, 1:].max() < _NOISE:
        raise DatasetError(
            f"the first {count} images of data set {dataset.name!r} are of one colour: "
            f"they have no spectrum"
        )
    return magnitude
