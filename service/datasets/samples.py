"""One sample of a data set, read and converted, or left out."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.datasets.base import BadSample, Dataset, DatasetError, Sample
from service.imaging import Pixels, Preprocessing, decode

T = TypeVar("T")


MOST_LISTED = 100  # images left out that are listed by name; the others are counted
_AT_THE_URI = "?on_error=skip at the data set's URI leaves out what cannot be used"
_IN_THE_CALL = "skip_bad, --skip-bad or ?on_error=skip leaves out what cannot be used"
_MOST_REASON = 300  # characters


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


def summary(left_out: Iterable[LeftOut]) -> dict[str, Any]:
    """Count what was left out, and list the first by name.

    Args:
        left_out: in any order.

    Returns:
        "count", and "images", at most MOST_LISTED with "id", "name" and "reason", by id.
    """
    ordered = sorted(left_out, key=lambda one: one.id)
    return {"count": len(ordered), "images": [asdict(one) for one in ordered[:MOST_LISTED]]}


def none_left(dataset: Dataset, left_out: Iterable[LeftOut]) -> DatasetError:
    """The error where no image can be used.

    Args:
        dataset: whose they are.
        left_out: all images, at least one.
    """
    first, *others = sorted(left_out, key=lambda one: one.id)
    return DatasetError(
        f"no image of data set {dataset.name!r} can be used: all {1 + len(others)} were left out, "
        f"the first, image {first.id} ({first.name!r}), because: {first.reason}"
    )


def read_or_leave_out(
    dataset: Dataset,
    number: int,
    convert: Callable[[Sample], T],
    most_bytes: int | None = None,
    way_on: str = _IN_THE_CALL,
) -> "T | LeftOut":
    """Read one sample and convert it, or say why it is left out.

    Args:
        dataset: to read from; its `skip_bad` decides.
        number: of the sample, from 0.
        convert, most_bytes: as in `read_as`.
        way_on: how one comes by a result in spite of bad samples.

    Returns:
        What `convert` returns, or what is left out.

    Raises:
        BadSample: the sample cannot be used, and the data set leaves none out.
    """
    try:
        return read_as(dataset, number, convert, most_bytes)
    except BadSample as error:
        if not dataset.skip_bad:
            error.args = (f"{error}; {way_on}",)
            raise
        return LeftOut(error.number, error.name, error.reason[:_MOST_REASON])


def read_as(
    dataset: Dataset,
    number: int,
    convert: Callable[[Sample], T],
    most_bytes: int | None = None,
) -> T:
    """Read one sample and convert it.

    Args:
        dataset: to read from.
        number: of the sample, from 0.
        convert: decodes the image, for instance; it raises ValueError or OSError where the sample
            cannot be used.
        most_bytes: that its image may have; None for any number.

    Returns:
        What `convert` returns.

    Raises:
        BadSample: the sample cannot be read or converted; the message names it.
    """
    (sample,) = dataset.read(number, 1, most_bytes)
    try:
        return convert(sample)
    except (ValueError, OSError) as error:
        raise BadSample(dataset.name, number, sample.name, str(error), "cannot be used") from error


def images(
    dataset: Dataset, numbers: Iterable[int], preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    """Read images as a network takes them, but for those that the data set leaves out.

    Args:
        dataset: to read from.
        numbers: of the images, from 0.
        preprocessing: of the network.

    Returns:
        The images cut to size, (N, C, H, W) uint8, N 0 where all are left out.

    Raises:
        DatasetError: an image cannot be read or decoded, and none is left out; the message names
            it.
    """
    read = (image(dataset, number, preprocessing) for number in numbers)
    usable = [one for one in read if not isinstance(one, LeftOut)]
    return np.stack(usable) if usable else np.zeros((0, *preprocessing.shape), np.uint8)


def image(dataset: Dataset, number: int, preprocessing: Preprocessing) -> Pixels | LeftOut:
    """Read one image as a network takes it.

    Args:
        dataset: to read from.
        number: of the image, from 0.
        preprocessing: of the network.

    Returns:
        The image cut to size, (C, H, W) uint8, or what is left out.

    Raises:
        DatasetError: the image cannot be read or decoded, and the data set leaves none out; the
            message names it.
    """
    return read_or_leave_out(
        dataset,
        number,
        lambda sample: preprocessing.apply(decode(sample.image)),
        way_on=_AT_THE_URI,
    )
