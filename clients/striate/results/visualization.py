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
    """A step of a running visualization.

    Attributes:
        step: Steps done, from 1.
        steps: Steps in all.
        scores: The objectives under that step's random transforms, one an objective.
        pngs: The running pictures as PNG files, on the steps that `preview_every` names.
    """

    step: int
    steps: int
    scores: tuple[float, ...]
    pngs: tuple[bytes, ...] = field(default=(), repr=False)

    @staticmethod
    def read(message: visualize_pb2.VisualizeProgress) -> Progress:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        scores, pngs = tuple(message.scores), tuple(message.previews)
        return Progress(message.step, message.steps, scores, pngs)

    @cached_property
    def previews(self) -> tuple[Image, ...]:
        """The running pictures, decoded (PIL)."""
        return tuple(map(pictures.decode, self.pngs))


@dataclass(frozen=True)
class Visualization:
    """The picture that maximizes an objective.

    Attributes:
        objective: The objective in full, e.g. "layer3.2:7".
        activation: The objective on the picture, without transforms.
        dead: The unit gave no gradient, or in a whole layer no finite values (`activation` is NaN
            then): the picture is no evidence of anything.
        provenance: Where the picture came from.
        png: The picture, a PNG file.
        variant: Which of its objective's pictures it is, from 0.
        certificate: What it is worth, None from a server that does not say.
        tensor: The exact pixels, (C, H, W) float32 in [0, 1], where they were asked for; else None.
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
        """Reads the message of the contract.

        Args:
            message: One picture.
            provenance: Where it came from.
            tensor: Its exact pixels, (C, H, W), if they were asked for.
        """
        certificate = (
            Certificate.read(message.certificate) if message.HasField("certificate") else None
        )
        return Visualization(
            objective=message.objective,
            activation=message.activation,
            dead=message.dead,
            provenance=provenance,
            png=message.png,
            variant=message.variant,
            certificate=certificate,
            tensor=tensor,
        )

    @cached_property
    def image(self) -> Image:
        """The picture, decoded (PIL)."""
        return pictures.decode(self.png)

    def save(self, path: str | Path) -> Path:
        """Saves the picture.

        Args:
            path: Where to; the picture takes the format of the ending, PNG without one.

        Returns:
            The path.

        Raises:
            OSError: The file cannot be written.
            InvalidArgument: The path's ending is no known picture format.
        """
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
    """Several visualizations that were optimized as one batch.

    Variant j of objective i is at index `i * variants + j`.

    Attributes:
        provenance: Where the pictures came from.
    """

    def __init__(self, items: Iterable[Visualization], provenance: Provenance) -> None:
        super().__init__(items)
        self.provenance = provenance

    @staticmethod
    def read(message: visualize_pb2.VisualizeResult) -> Visualizations:
        """Reads the message of the contract.

        Args:
            message: The server's message.

        Raises:
            Internal: The tensor does not fit its description.
        """
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
        """A file name for each picture, without ending: its objective, with a number behind it
        where it comes again.
        """
        return file_names(item.objective for item in self)

    def save(self, folder: str | Path) -> list[Path]:
        """Saves every picture as a PNG file, named by its objective.

        Args:
            folder: Where to; it is made if it is missing.

        Returns:
            The paths, in the pictures' order.

        Raises:
            OSError: A file cannot be written.
        """
        return [
            item.save(Path(folder) / f"{name}.png")
            for item, name in zip(self, self.names(), strict=True)
        ]

    def _repr_html_(self) -> str:
        return "".join(item._repr_html_() for item in self)
