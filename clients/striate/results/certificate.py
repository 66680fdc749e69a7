"""What a picture is worth, measured without the random views that it was optimized under."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from striate.v1 import visualize_pb2


@dataclass(frozen=True)
class Appearance:
    """What the eye sees of a picture before it sees what it shows.

    Attributes:
        clipped: Share of values, of all pixels and channels, within one 8-bit level of black or
            white, 0 to 1. Photographs: about 0.01 to 0.03.
        high_frequencies: Share of the energy about the channels' means above a quarter cycle a
            pixel, 0 to 1. Photographs of 224 pixels: about 0.01 to 0.15.
        saturation: Mean saturation of the pixels' colours, 0 to 1; 0 of gray pictures. Photographs:
            about 0.3.
    """

    clipped: float
    high_frequencies: float
    saturation: float

    @staticmethod
    def read(message: visualize_pb2.Appearance) -> Appearance:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        return Appearance(message.clipped, message.high_frequencies, message.saturation)

    def __str__(self) -> str:
        """The measures in one line, e.g. "0.003 clipped, 0.04 high frequencies,
        saturation 0.28"."""
        return (
            f"{self.clipped:.2g} clipped, {self.high_frequencies:.2g} high frequencies, "
            f"saturation {self.saturation:.2g}"
        )


@dataclass(frozen=True)
class Certificate:
    """What a picture is worth as evidence of what a unit sees.

    What does not apply, and what no index of the layer knows, is None.

    Attributes:
        activation: The objective on the picture itself.
        held_out: Its mean under a fixed set of random views that no optimization draws.
        held_out_minimum: Its lowest value under them.
        dataset_maximum: The largest value of the objective on any image of the data set: of
            "neg(...)" minus the lowest value of the unit, of "abs(...)" its largest magnitude.
        ratio: `activation / dataset_maximum`, where the maximum is above 0.
        held_out_ratio: `held_out / dataset_maximum`, where the maximum is above 0.
        percentile: Share of the data set's images on which the objective is lower, 0 to 1.
        dataset: Name of the data set, "" for none.
        images: Number of its images that the index knows.
        rank: Place of the unit among the layer's units on this picture, 1 for the most active.
        units: Number of the layer's units.
        relative_rank: The rank by activation over each unit's own maximum on the data set.
        seed_activations: Activations of the pictures of the further seeds that were asked for.
        attempts: Optimizations that were run for this picture.
        seed: Seed of the one that is returned.
        learning_rate: Its learning rate.
        no_ratio: Why there is no ratio, in a sentence; "" where there is one, and where there was
            nothing to compare with.
        contrast: The contrast that it was allowed, see `striate.space.Fourier`; 0 for any.
        size: Height and width in pixels at which the network was shown the picture, while it was
            optimized and when it was measured; None from a server that does not tell.
        appearance: How the picture looks at that size; None likewise.
        dataset_appearance: The means of the same over the data set's images at the network's input
            size, where the index knows them.
    """

    activation: float
    held_out: float
    held_out_minimum: float
    dataset_maximum: float | None
    ratio: float | None
    held_out_ratio: float | None
    percentile: float | None
    dataset: str
    images: int
    rank: int | None
    units: int
    relative_rank: int | None
    seed_activations: tuple[float, ...]
    attempts: int
    seed: int
    learning_rate: float
    no_ratio: str = ""
    contrast: float = 0.0
    size: tuple[int, int] | None = None
    appearance: Appearance | None = None
    dataset_appearance: Appearance | None = None

    @staticmethod
    def read(message: visualize_pb2.Certificate) -> Certificate:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        values: dict[str, Any] = {
            one.name: getattr(message, one.name)
            for one in fields(Certificate)
            if one.name not in _READ
        }
        values |= {name: None for name in _OPTIONAL if not message.HasField(name)}  # type: ignore[arg-type]
        values |= {
            name: Appearance.read(getattr(message, name))
            for name in ("appearance", "dataset_appearance")
            if message.HasField(name)
        }
        size = (message.height, message.width) if message.height else None
        seeds = tuple(message.seed_activations)
        return Certificate(**values, size=size, seed_activations=seeds)

    @property
    def spread(self) -> str:
        """The lowest and the highest activation of the further seeds, e.g. "2.8 to 3.1"; empty
        without any.
        """
        return (
            f"{min(self.seed_activations):.4g} to {max(self.seed_activations):.4g}"
            if self.seed_activations
            else ""
        )

    def __str__(self) -> str:
        """The certificate in one line, e.g. "3.02 times the data set's maximum, 2.1 held out, above
        100.00% of its images, rank 1 of 64".
        """
        phrases = [
            "" if self.ratio is None else f"{self.ratio:.3g} times the data set's maximum",
            "" if self.held_out_ratio is None else f"{self.held_out_ratio:.3g} held out",
            "" if self.percentile is None else f"above {self.percentile:.2%} of its images",
            "" if self.rank is None else f"rank {self.rank} of {self.units}",
            f"other seeds {self.spread}" if self.spread else "",
            self.no_ratio,
            self._look,
        ]
        return ", ".join(filter(None, phrases))

    @property
    def _look(self) -> str:
        """How the picture looks, beside the data set."""
        if self.appearance is None or self.size is None:
            return ""
        beside = "" if self.dataset_appearance is None else f" (data set {self.dataset_appearance})"
        return f"{self.appearance}{beside} at {self.size[0]} x {self.size[1]} pixels"


_OPTIONAL = ("dataset_maximum", "ratio", "held_out_ratio", "percentile", "rank", "relative_rank")
_READ = ("seed_activations", "size", "appearance", "dataset_appearance")  # each in its own way
