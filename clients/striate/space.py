"""Where a picture lives while it is optimized: what `parameterization` of Model.visualize takes.

What is left None is left to the server's default. A parameterization is a dataclass here and a
member of Space; its name and fields are those of its message in the contract.
"""

from __future__ import annotations

from dataclasses import dataclass

from striate._rpc.checks import number, positive, whole
from striate.errors import invalid


@dataclass(frozen=True)
class Fourier:
    """A spectrum scaled as in natural images, with decorrelated colour (Olah et al. 2017).

    Attributes:
        decay: The strength of each frequency is 1 / frequency^decay, 0 to 4, None for 1.3;
            photographs have 1.
        contrast: The largest standard deviation of the picture's values before its sigmoid, above 0
            to 64, None for 1.2, about what photographs have.

    Raises:
        InvalidArgument: A number is out of its range.
    """

    decay: float | None = None
    contrast: float | None = None

    def __post_init__(self) -> None:
        if self.decay is not None:
            number("decay", self.decay, 0, 4)
        positive(contrast=self.contrast)


@dataclass(frozen=True)
class Pixels:
    """The pixels themselves."""


@dataclass(frozen=True)
class Cppn:
    """A compositional pattern-producing network (Stanley 2007; Mordvintsev et al. 2018).

    Attributes:
        depth: Hidden layers, 1 to 16, None for 8.
        width: Units of each hidden layer, 1 to 64, None for 24.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    depth: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        for field, value, most in (("depth", self.depth, 16), ("width", self.width, 64)):
            if value is not None:
                whole(field, value, 1, most)


@dataclass(frozen=True)
class Maco:
    """The phase alone, under the magnitude spectrum of a data set (Fel et al. 2023).

    Attributes:
        dataset: Name of the data set whose mean spectrum is taken.
        images: Its first so many images are read, 1 to 100000, None for 1000.
        transparency: The picture is seen through where the gradient was weak, cut at this
            percentile, 0 to 100, 0 for an opaque picture, None for 90.

    Raises:
        InvalidArgument: A value is out of its range, or `dataset` is empty.
    """

    dataset: str
    images: int | None = None
    transparency: float | None = None

    def __post_init__(self) -> None:
        if not self.dataset:
            raise invalid("dataset", "must be the name of a data set of the server")
        if self.images is not None:
            whole("images", self.images, 1, 100_000)
        if self.transparency is not None:
            number("transparency", self.transparency, 0, 100)


Space = Fourier | Pixels | Cppn | Maco
