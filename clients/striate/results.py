"""What calls return: numpy arrays and PIL images with the way to save them and what a notebook shows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from striate import pictures
from striate.errors import Internal
from striate.info import Provenance
from striate.v1 import filters_pb2, types_pb2, visualize_pb2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_DTYPES = {types_pb2.DATA_TYPE_UINT8: "|u1", types_pb2.DATA_TYPE_FLOAT32: "<f4", types_pb2.DATA_TYPE_FLOAT64: "<f8"}


def read_float32(tensor: types_pb2.Tensor) -> NDArray[np.float32]:
    """The array in a Tensor message, as float32 and writable. Raises Internal if its bytes do not match its shape."""
    import numpy as np

    try:
        return np.frombuffer(tensor.data, dtype=_DTYPES[tensor.dtype]).reshape(tuple(tensor.shape)).astype(np.float32)
    except (KeyError, ValueError) as error:
        raise Internal(f"the server sent a tensor that does not fit its description: {error}") from None


def file_name(text: str) -> str:
    """A name for a file from "layer3.2:7@3,4" or the like: other characters than letters, digits, dot and hyphen become "-"."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "result"


@dataclass(frozen=True)
class Prediction:
    """One class of an image. index: position in the logits; probability: softmax, 0 to 1."""

    label: str
    index: int
    probability: float


class Classifications(list[list[Prediction]]):
    """The top classes of every image, most probable first."""

    def __init__(self, rows: Iterable[list[Prediction]], provenance: Provenance) -> None:
        super().__init__(rows)
        self.provenance = provenance

    def _repr_html_(self) -> str:
        cells = [(row, p.label, p.index, f"{p.probability:.1%}") for row, predictions in enumerate(self) for p in predictions]
        return pictures.table(("image", "label", "index", "probability"), cells)


@dataclass(frozen=True)
class Progress:
    """A step of a running visualization. scores: the objective under that step's random transforms, one an objective;
    previews: the running pictures (PIL), on the steps that preview_every names."""

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
    """The picture that maximizes an objective. objective: in full; activation: the objective on the picture, without transforms;
    dead: the unit gave no gradient, so the picture is not evidence of anything; png: the picture's file."""

    objective: str
    activation: float
    dead: bool
    provenance: Provenance
    png: bytes = field(repr=False)

    @cached_property
    def image(self) -> Image:
        """The picture (PIL)."""
        return pictures.decode(self.png)

    def save(self, path: str | Path) -> Path:
        """Writes the picture, in the format of the path's ending (PNG without one)."""
        return pictures.write(self.png, path)

    def _repr_png_(self) -> bytes:
        return self.png

    def _repr_html_(self) -> str:
        return pictures.figure(self.png, f"{self.objective}: {'dead' if self.dead else format(self.activation, '.4g')}")


class Visualizations(list[Visualization]):
    """Several visualizations that were optimized as one batch."""

    def __init__(self, items: Iterable[Visualization], provenance: Provenance) -> None:
        super().__init__(items)
        self.provenance = provenance

    @staticmethod
    def read(message: visualize_pb2.VisualizeResult) -> Visualizations:
        provenance = Provenance.read(message.provenance)
        items = (Visualization(v.objective, v.activation, v.dead, provenance, v.png) for v in message.visualizations)
        return Visualizations(items, provenance)

    def save(self, folder: str | Path) -> list[Path]:
        """Writes every picture as PNG into the folder, named by its objective."""
        return [item.save(Path(folder) / f"{file_name(item.objective)}.png") for item in self]

    def _repr_html_(self) -> str:
        return "".join(item._repr_html_() for item in self)


@dataclass(frozen=True, eq=False)
class Filters:
    """A convolution's weights (out channels, in channels / groups, rows, columns), exactly as stored, and their picture: one tile a
    filter in channel order, with its normalization in words."""

    layer: str
    normalization: str
    provenance: Provenance
    weights: NDArray[np.float32] = field(repr=False)
    png: bytes = field(repr=False)

    @staticmethod
    def read(message: filters_pb2.RenderFiltersResponse) -> Filters:
        weights = read_float32(message.weights)
        return Filters(message.layer, message.normalization, Provenance.read(message.provenance), weights, message.png)

    @cached_property
    def image(self) -> Image:
        """The grid of filters (PIL)."""
        return pictures.decode(self.png)

    def save(self, path: str | Path) -> Path:
        """Writes the weights if the path ends in ".npy", else the picture in the format of the ending."""
        import numpy as np

        if Path(path).suffix.lower() != ".npy":
            return pictures.write(self.png, path)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        np.save(path, self.weights, allow_pickle=False)
        return Path(path)

    def _repr_png_(self) -> bytes:
        return self.png

    def _repr_html_(self) -> str:
        return pictures.figure(self.png, f"{self.layer}: {self.normalization}")
