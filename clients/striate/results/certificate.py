"""What a picture is worth, measured without the random views that it was optimized under."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from striate.v1 import visualize_pb2


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

    @staticmethod
    def read(message: visualize_pb2.Certificate) -> Certificate:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        values: dict[str, Any] = {
            one.name: getattr(message, one.name) for one in fields(Certificate)
        }
        values |= {name: None for name in _OPTIONAL if not message.HasField(name)}  # type: ignore[arg-type]
        return Certificate(**values | {"seed_activations": tuple(message.seed_activations)})

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
        ]
        return ", ".join(filter(None, phrases))


_OPTIONAL = ("dataset_maximum", "ratio", "held_out_ratio", "percentile", "rank", "relative_rank")
