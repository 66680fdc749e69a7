"""Terms that hold more than a name: directions among a layer's units, and likeness to an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from striate._formats.arraylike import to_numpy
from striate._rpc.checks import choice, number, whole
from striate.errors import invalid
from striate.images import as_batch_of
from striate.objective.composition import Term

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from striate.images import Batch, One

ComparisonName = Literal["dot", "cosine", "dot-cosine"]
KindName = Literal["inversion", "caricature", "style"]

COMPARISONS: tuple[ComparisonName, ...] = ("dot", "cosine", "dot-cosine")
KINDS: tuple[KindName, ...] = ("inversion", "caricature", "style")


@dataclass(frozen=True, repr=False, eq=False)
class Direction(Term):
    """A direction in the space of a layer's units.

    Attributes:
        layer: Name of the layer.
        vector: (units,), not all zero.
        comparison: How the activation h is compared with the vector v: "dot" for <h, v/|v|>,
            "cosine" for <h, v> / (|h| |v|), "dot-cosine" for <h, v/|v|> max(0.1, cosine)^power
            (lucid).
        power: Power of "dot-cosine", above 0 to 16, None for 1.
        position: (row, column) of the layer's map, None for the mean over all.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    layer: str
    vector: ArrayLike
    comparison: ComparisonName = "dot"
    power: float | None = None
    position: tuple[int, int] | None = None
    values: NDArray[Any] = field(init=False)  # a copy, so that it cannot change later

    def __post_init__(self) -> None:
        choice("comparison", self.comparison, dict.fromkeys(COMPARISONS))
        if self.power is not None and not number("power", self.power, 0, 16):
            raise invalid("power", "must be above 0 to 16, is 0")
        if (
            self.position is not None
            and len([whole("position", place, 0, 2**32 - 1) for place in self.position]) != 2
        ):
            raise invalid("position", f"must be (row, column), is {self.position!r}")
        object.__setattr__(self, "values", _as_vector("vector", self.vector))  # frozen

    def __repr__(self) -> str:
        place = "" if self.position is None else f"@{self.position[0]},{self.position[1]}"
        return f"{self.comparison}({self.layer}{place})"


@dataclass(frozen=True, repr=False, eq=False)
class Like(Term):
    """Being like an image to a layer.

    Attributes:
        image: One image, as `striate.images.as_batch` takes it.
        layer: Name of the layer.
        kind: "inversion" for the same activations (Mahendran & Vedaldi 2015), "caricature" for the
            same but exaggerated (lucid), "style" for the same Gram matrix (Gatys et al. 2016).
        power: Power of the cosine in "caricature", 0 to 16, None for 1.

    Raises:
        InvalidArgument: A value is out of its range, or the image is none.
        OSError: The path of an image cannot be read.
    """

    image: One
    layer: str
    kind: KindName = "inversion"
    power: float | None = None
    batch: Batch = field(init=False)  # the image as it was when this was made

    def __post_init__(self) -> None:
        choice("kind", self.kind, dict.fromkeys(KINDS))
        if self.power is not None:
            number("power", self.power, 0, 16)
        object.__setattr__(self, "batch", as_batch_of([1], self.image, "image"))  # frozen

    def __repr__(self) -> str:
        return f"{self.kind}({self.layer})"


def _as_vector(field: str, values: ArrayLike) -> NDArray[Any]:
    """A vector (n,), little-endian: float64 stays so, all else becomes float32."""
    import numpy as np

    try:
        array = to_numpy(values, field)
        array = array.astype(
            "<f8" if array.dtype == np.float64 else "<f4",
            casting="same_kind" if array.dtype.kind == "f" else "unsafe",
        )
    except (TypeError, ValueError):
        raise invalid(field, f"must be a vector of numbers, is {type(values).__name__}") from None
    if array.ndim != 1 or not np.isfinite(array).all() or not array.any():
        raise invalid(
            field, f"must be one finite vector, not all zero; has the shape {array.shape}"
        )
    return array
