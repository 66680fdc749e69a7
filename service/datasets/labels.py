"""Labels as data sets store them: numbers or names, some of them missing."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.datasets.base import MOST_LABEL, DatasetError

UNKNOWN = -1  # label of a sample without one
MOST_LABEL_TEXT = 10_000  # characters of a label
_WHOLE = re.compile(r"[+-]?[0-9]+(\.0*)?")
_SHOWN = 5  # names in a message


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of N samples.

    Attributes:
        indices: (N,) int64, UNKNOWN where there is none.
        classes: names by label; empty where unknown.
    """

    indices: NDArray[np.int64]
    classes: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of different labels: as many as there are names, or the largest label + 1; 0 if
        no sample has one.
        """
        largest = int(self.indices.max(initial=UNKNOWN))
        return max(largest + 1, len(self.classes)) if largest >= 0 else 0

    def of(self, index: int) -> int | None:
        """The label of a sample, or None.

        Args:
            index: of the sample, from 0.
        """
        label = int(self.indices[index])
        return None if label == UNKNOWN else label


def read_labels(
    values: Sequence[object] | NDArray[np.int64], classes: Sequence[str], where: str
) -> Labels:
    """Read stored labels.

    Whole numbers, also as floats, booleans or texts, are labels; negative ones, null, NaN and empty
    texts mean that there is none. Other texts are names: of `classes` where there are some, else
    the different names in sorted order are the classes.

    Args:
        values: as they are stored, one a sample.
        classes: names by label; empty where unknown.
        where: what holds them, for messages.

    Returns:
        The labels.

    Raises:
        DatasetError: a label is no whole number up to 999,999 or no class, or the names are too
            few.
    """
    if isinstance(values, np.ndarray):
        indices = np.maximum(values.astype(np.int64), UNKNOWN)
    else:
        longest = max((len(value) for value in values if isinstance(value, str)), default=0)
        if longest > MOST_LABEL_TEXT:
            raise DatasetError(
                f"{where} has a label of {longest} characters, more than {MOST_LABEL_TEXT}"
            )
        texts = [value.strip() for value in values if isinstance(value, str) and value.strip()]
        if texts and not (_are_numbers(texts) and not set(texts) <= set(classes)):
            return _named(values, classes, sorted(set(texts)), where)
        indices = np.array([_whole(value, where) for value in values], np.int64)
    largest = int(indices.max(initial=UNKNOWN))
    if largest > MOST_LABEL:
        raise DatasetError(f"{where} has label {largest}, more than {MOST_LABEL}")
    if classes and largest >= len(classes):
        raise DatasetError(f"{where} has label {largest}, but only {len(classes)} class names")
    return Labels(indices, tuple(classes) if largest >= 0 else ())


def _are_numbers(texts: Sequence[str]) -> bool:
    return all(_WHOLE.fullmatch(text) for text in texts)


def _named(
    values: Sequence[object], classes: Sequence[str], found: Sequence[str], where: str
) -> Labels:
    names = tuple(classes) or tuple(found)
    if unknown := [name for name in found if name not in names]:
        shown = ", ".join(map(repr, unknown[:_SHOWN]))
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise DatasetError(f"{where} has labels that are none of the class names: {shown}{more}")
    if len(names) > MOST_LABEL:
        raise DatasetError(f"{where} has {len(names)} different labels, more than {MOST_LABEL}")
    place = {name: index for index, name in reversed(list(enumerate(names)))}
    texts = [value.strip() if isinstance(value, str) else "" for value in values]
    indices = np.array([place[text] if text else UNKNOWN for text in texts], np.int64)
    return Labels(indices, names)


def _whole(value: object, where: str) -> int:
    if isinstance(value, str):
        value = float(value) if value.strip() else None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if isinstance(value, bool | int) or (isinstance(value, float) and value.is_integer()):
        return (
            min(max(int(value), UNKNOWN), MOST_LABEL + 1) if abs(value) < 2**62 else MOST_LABEL + 1
        )
    raise DatasetError(f"{where} has the label {str(value)[:60]!r}, which is not a whole number")
