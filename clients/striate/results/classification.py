"""The most probable classes of images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from striate._formats import notebook
from striate.provenance import Provenance


@dataclass(frozen=True)
class Prediction:
    """One class that a network sees in an image.

    Attributes:
        label: The class's name.
        index: Its position in the logits.
        probability: Its softmax probability, 0 to 1.
    """

    label: str
    index: int
    probability: float


class Classifications(list[list[Prediction]]):
    """The top classes of every image, most probable first.

    Attributes:
        provenance: Where they came from.
    """

    def __init__(self, rows: Iterable[list[Prediction]], provenance: Provenance) -> None:
        super().__init__(rows)
        self.provenance = provenance

    def _repr_html_(self) -> str:
        cells = [
            (row, p.label, p.index, f"{p.probability:.1%}")
            for row, predictions in enumerate(self)
            for p in predictions
        ]
        return notebook.table(("image", "label", "index", "probability"), cells)
