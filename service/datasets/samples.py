"""One sample of a data set, read and converted."""

from collections.abc import Callable
from typing import TypeVar

from service.datasets.base import Dataset, DatasetError, Sample
from service.imaging import Pixels, Preprocessing, decode

T = TypeVar("T")


def read_as(dataset: Dataset, number: int, convert: Callable[[Sample], T]) -> T:
    """Read one sample and convert it.

    Args:
        dataset: to read from.
        number: of the sample, from 0.
        convert: decodes the image, for instance; it raises ValueError or OSError where the sample
            cannot be used.

    Returns:
        What `convert` returns.

    Raises:
        DatasetError: the sample cannot be read or converted; the message names it.
    """
    (sample,) = dataset.read(number, 1)
    try:
        return convert(sample)
    except (ValueError, OSError) as error:
        raise DatasetError(
            f"image {number} ({sample.name!r}) of data set {dataset.name!r} cannot be used: {error}"
        ) from error


def image(dataset: Dataset, number: int, preprocessing: Preprocessing) -> Pixels:
    """Read one image as a network takes it.

    Args:
        dataset: to read from.
        number: of the image, from 0.
        preprocessing: of the network.

    Returns:
        The image cut to size, (C, H, W) uint8.

    Raises:
        DatasetError: the image cannot be read or decoded; the message names it.
    """
    return read_as(dataset, number, lambda sample: preprocessing.apply(decode(sample.image)))
