"""What calls return: numpy arrays and PIL images with the way to save them and what a notebook
shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from striate import _pictures as pictures
from striate.errors import Internal
from striate.results.description import Provenance
from striate.v1 import types_pb2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LONGEST_NAME = 120  # characters; a composed objective can be longer than file systems allow
_DTYPES = {
    types_pb2.DATA_TYPE_UINT8: "|u1",
    types_pb2.DATA_TYPE_FLOAT32: "<f4",
    types_pb2.DATA_TYPE_FLOAT64: "<f8",
}


def read_float32(tensor: types_pb2.Tensor) -> NDArray[np.float32]:
    """The array in a Tensor message, as float32 and writable. Raises Internal if its bytes do not
    match its shape.
    """
    import numpy as np

    try:
        return (
            np.frombuffer(tensor.data, dtype=_DTYPES[tensor.dtype])
            .reshape(tuple(tensor.shape))
            .astype(np.float32)
        )
    except (KeyError, ValueError) as error:
        raise Internal(
            f"the server sent a tensor that does not fit its description: {error}"
        ) from None


def file_name(text: str) -> str:
    """A name for a file from "layer3.2:7@3,4" or the like: other characters than letters, digits,
    dot and hyphen become "-", a sign in front becomes "minus-".
    """
    sign = "minus-" if text.startswith("-") else ""
    return sign + re.sub(r"[^\w.-]+", "-", text)[:_LONGEST_NAME].strip("-.") or "result"


def file_names(texts: Iterable[str]) -> list[str]:
    """The same for several, all different: those that come again get "-2", "-3", ... behind
    them.
    """
    names: dict[str, None] = {}
    for text in texts:
        base = file_name(text)
        numbers = (base if number == 1 else f"{base}-{number}" for number in count(1))
        names[next(name for name in numbers if name not in names)] = None
    return list(names)


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
        cells = [
            (row, p.label, p.index, f"{p.probability:.1%}")
            for row, predictions in enumerate(self)
            for p in predictions
        ]
        return pictures.table(("image", "label", "index", "probability"), cells)


def save(array: NDArray[np.float32], png: bytes, path: str | Path) -> Path:
    """Writes the array if the path ends in ".npy", else the picture in the format of the ending."""
    import numpy as np

    if Path(path).suffix.lower() != ".npy":
        return pictures.write(png, path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=False)
    return Path(path)
