"""The pictures that objectives like best, and the progress towards them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from striate._formats import notebook, pictures
from striate._formats.files import file_names, write_picture
from striate._formats.tensors import read_float32
from striate.provenance import Provenance
from striate.results.certificate import Certificate
from striate.v1 import visualize_pb2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


@dataclass(frozen=True)
class Progress:
    """A step of a running visualization. scores: the objective under that step's random transforms,
    one an objective; previews: the running pictures (PIL), on the steps that preview_every names.
    """

    step: int
    steps: int
    scores: tuple[float, ...]
    previews: tuple[Image, ...] = field(default=(), repr=False)

    @staticmethod
    def read(message: visualize_pb2.VisualizeProgress) -> Progress:
        previews = tuple(pictures.decode(png) for png in message.previews)
        return Progress(message.step, message.steps, tuple(message.scores), previews)


@dataclass(frozen=True)
class Visualization:
    """The picture that maximizes an objective. objective: in full; activation: the objective on the
    picture, without transforms; dead: the unit gave no gradient, or in a whole layer no finite
    values (activation is NaN then), so the picture is not evidence of anything; png: the picture's
    file; variant: which of its objective's pictures it is, from 0; certificate: what it is worth,
    None from a server that does not say; tensor: the pixels (C, H, W) float32 in [0, 1] where asked
    for, else None.
    """

    objective: str
    activation: float
    dead: bool
    provenance: Provenance
    png: bytes = field(repr=False)
    variant: int = 0
    certificate: Certificate | None = field(default=None, repr=False)
    tensor: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def read(
        message: visualize_pb2.Visualization,
        provenance: Provenance,
        tensor: NDArray[np.float32] | None = None,
    ) -> Visualization:
        certificate = (
            Certificate.read(message.certificate) if message.HasField("certificate") else None
        )
        known = (
            message.objective,
            message.activation,
            message.dead,
            provenance,
            message.png,
            message.variant,
        )
        return Visualization(*known, certificate, tensor)

    @cached_property
    def image(self) -> Image:
        """The picture (PIL)."""
        return pictures.decode(self.png)

    def save(self, path: str | Path) -> Path:
        """Writes the picture, in the format of the path's ending (PNG without one)."""
        return write_picture(self.png, path)

    def _repr_png_(self) -> bytes:
        return self.png

    def _repr_html_(self) -> str:
        worth = "" if self.certificate is None else str(self.certificate)
        value = "dead" if self.dead else f"{self.activation:.4g}"
        return notebook.figure(
            self.png,
            f"{self.objective}: {value}" + (f" ({worth})" if worth and not self.dead else ""),
        )


class Visualizations(list[Visualization]):
    """Several visualizations that were optimized as one batch: variant j of objective i at place i
    * variants + j.
    """

    def __init__(self, items: Iterable[Visualization], provenance: Provenance) -> None:
        super().__init__(items)
        self.provenance = provenance

    @staticmethod
    def read(message: visualize_pb2.VisualizeResult) -> Visualizations:
        """Raises Internal if the tensor does not fit."""
        provenance = Provenance.read(message.provenance)
        tensors = (
            read_float32(message.tensor)
            if message.HasField("tensor")
            else [None] * len(message.visualizations)
        )
        items = [
            Visualization.read(one, provenance, tensor)
            for one, tensor in zip(message.visualizations, tensors, strict=True)
        ]
        return Visualizations(items, provenance)

    def names(self) -> list[str]:
        """A file name for each, without ending: its objective, with a number behind it where it
        comes again.
        """
        return file_names(item.objective for item in self)

    def save(self, folder: str | Path) -> list[Path]:
        """Writes every picture as PNG into the folder, named by its objective."""
        return [
            item.save(Path(folder) / f"{name}.png")
            for item, name in zip(self, self.names(), strict=True)
        ]

    def _repr_html_(self) -> str:
        return "".join(item._repr_html_() for item in self)
