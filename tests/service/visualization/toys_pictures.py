"""Finished pictures for tests, told apart by a number, and an index of one layer."""

from typing import Any

import numpy as np

from service.index.types import Extremes, Subject
from service.visualization.cache import Picture

UNITS = 16  # of the layer


def picture(number: int = 0) -> Picture:
    layer = np.array([0.1, np.pi, -3e-8, number], np.float32)
    return Picture(
        b"png %d" % number,
        *(1 / 3, 0.2, -0.1, False, 2, 4),
        layer,
        *((0.1, 1e-9), 3, 2**64 - 1, 0.05),
        contrast=2.4,
        height=32,
        width=48,
        clipped=0.01,
        high_frequencies=1 / 7,
        saturation=0.3,
    )


def same(one: Picture | None, other: Picture) -> bool:
    """Whether two pictures are equal to the last bit."""
    assert one is not None
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


class ToyIndex:
    """An index of one layer, made up: every unit has these extremes; the lowest are minus the
    highest unless they are given.
    """

    def __init__(
        self, mean: Any, peak: float = 50.0, layer: str = "c3", lowest: Any = None
    ) -> None:
        self.mean = np.broadcast_to(np.asarray(mean, np.float32), (UNITS,))
        self.lowest = (
            -self.mean
            if lowest is None
            else np.broadcast_to(np.asarray(lowest, np.float32), (UNITS,))
        )
        self.peak, self.layer, self.asked = peak, layer, list[tuple[int, str]]()

    def indexed(self, model: str, digest: str, layer: str) -> list[Subject]:
        return [Subject(model, digest, "made-up", "x:", 9)] if layer == self.layer else []

    def extremes(self, subject: Subject, layer: str) -> Extremes | None:
        peaks = np.full(UNITS, self.peak, np.float32)
        return Extremes(peaks, -peaks, self.mean, self.lowest, 9) if layer == self.layer else None

    def look(self, subject: Subject, layer: str) -> tuple[float, float, float]:
        return 0.25, 0.5, 0.75

    def outdated(self, model: str, digest: str, layer: str) -> str:
        return "the index of layer old is of format 2: build it again" if layer == "old" else ""

    def percentile(
        self, subject: Subject, layer: str, unit: int, value: float, of: str = "max"
    ) -> float:
        self.asked.append((unit, of))
        return 0.75
