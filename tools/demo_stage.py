"""What the sections of the demo share: the service, the folder, the figures, and images worth
explaining.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import striate

TWINS = ("cifar10-plain", "cifar10-robust")
DIGITS, DIGIT_IMAGES = "digits-lenet5", "digits-held-out"
LOOKED_AT = 128  # images among which the clearest is looked for


@dataclass
class Stage:
    """Where a section gets its answers, and leaves files in `out` and figures in `results`. scene:
    the twins' data set.
    """

    service: striate.Service
    out: Path
    scene: str
    results: dict[str, Any] = field(default_factory=lambda: {"rates": []})

    def net(self, name: str) -> striate.Model:
        """A network of the service."""
        return self.service.model(name)

    def spread(self, dataset: str, count: int, first: int = 0) -> list[striate.Sample]:
        """Images from all parts of a data set, which may be sorted by class."""
        size = next(one.size for one in self.service.datasets() if one.name == dataset)
        return [
            self.service.samples(dataset, first=first + number * size // count, count=1)[0]
            for number in range(count)
        ]

    @cached_property
    def clearest(self) -> bytes:
        """The image of the scene on which both twins agree with the greatest probability."""
        return self._clearest(self.scene, TWINS)

    @cached_property
    def clearest_digit(self) -> bytes:
        """The digit whose class is the most probable."""
        return self._clearest(DIGIT_IMAGES, (DIGITS,))

    def _clearest(self, dataset: str, names: Sequence[str]) -> bytes:
        samples = [one.encoded for one in self.spread(dataset, LOOKED_AT)]
        says = [self.net(name).classify(samples, k=1) for name in names]

        def agreed(row: int) -> float:
            tops = [found[row][0] for found in says]
            return (
                min(top.probability for top in tops)
                if len({top.index for top in tops}) == 1
                else 0.0
            )

        return samples[max(range(len(samples)), key=agreed)]


def worth(picture: striate.Visualization) -> str:
    """What a picture is worth, in a narrow column."""
    certificate = picture.certificate
    if (
        certificate is None
        or certificate.ratio is None
        or certificate.held_out_ratio is None
        or certificate.percentile is None
    ):
        return f"{picture.objective}\n{picture.activation:.3g}"
    rank = f"\nrank {certificate.rank}/{certificate.units}" if certificate.rank else ""
    values = (
        f"{certificate.ratio:.1f} x max\n{certificate.held_out_ratio:.1f} held out\nabove "
        f"{100 * certificate.percentile:.4g}%"
    )
    return f"{picture.objective}\n{values}{rank}"
