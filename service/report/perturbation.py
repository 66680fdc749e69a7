"""A perturbation made visible."""

from typing import Any

import numpy as np
import numpy.typing as npt

from service.imaging import png

GREY = 0.5


def magnified(clean: npt.NDArray[Any], adversarial: npt.NDArray[Any]) -> tuple[bytes, int]:
    """(PNG, factor) of adversarial - clean, times a whole factor, around mid-grey.

    The factor is the largest whole number with which no pixel leaves [0, 1], and at least 1: a
    perturbation of more than half the range is cut. Images that are equal give plain grey and 1.

    Args:
        clean, adversarial: (H, W), (1, H, W) or (3, H, W), uint8, or floats in [0, 1].

    Raises:
        ValueError: the arrays differ in shape, have another one, or hold values that are not
            finite.
    """
    if clean.shape != adversarial.shape:
        raise ValueError(f"clean, adversarial: shapes {clean.shape} and {adversarial.shape} differ")
    difference = _pixels(adversarial) - _pixels(clean)
    largest = float(np.abs(difference).max(initial=0.0))
    factor = max(int(GREY / largest), 1) if largest > 0 else 1
    return png(GREY + factor * difference), factor


def _pixels(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return image.astype(np.float64) / (255 if image.dtype == np.uint8 else 1)
