"""One sample of a data set, read and converted, or left out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from service.datasets.base import BadSample, Dataset, Sample
from service.imaging import Pixels, Preprocessing, decode

T = TypeVar("T")


@dataclass(frozen=True)
class LeftOut:
    """A sample that cannot be used, of a data set whose bad samples are left out.

    Attributes:
        id: its number in the data set, from 0.
        name: its name; empty where it is not known.
        reason: why it cannot be used.
    """

    id: int
    name: str
    reason: str


def read_or_leave_out(
    dataset: Dataset, number: int, convert: Callable[[Sample], T]
) -> "T | LeftOut":
    """Read one sample and convert it, or say why it is left out.

    Args:
        dataset: to read from; its `skip_bad` decides.
        number: of the sample, from 0.
        convert: as in `read_as`.

    Returns:
        What `convert` returns, or what is left out.

    Raises:
        BadSample: the sample cannot be used, and the data set leaves none out.
    """
    try:
        return read_as(dataset, number, convert)
    except BadSample as error:
        if not dataset.skip_bad:
            raise
        return LeftOut(error.number, error.name, error.reason)


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
        BadSample: the sample cannot be read or converted; the message names it.
    """
    (sample,) = dataset.read(number, 1)
    try:
        return convert(sample)
    except (ValueError, OSError) as error:
        raise BadSample(dataset.name, number, sample.name, str(error), "cannot be used") from error


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
