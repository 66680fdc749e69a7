"""Terms g(x) of the ascent and operators on the picture (Yosinski et al. 2015).

They are what `regularizers` of Model.visualize takes. A regularizer is a dataclass here and a
member of Regularizer; its name and fields are those of its message in the contract.
"""

from __future__ import annotations

from dataclasses import dataclass

from striate._rpc.checks import number, positive, whole
from striate.errors import invalid

_MOST_STEPS = 4096


@dataclass(frozen=True)
class L1:
    """Pushes pixels to gray: minus weight times the mean of |x - 1/2|.

    Attributes:
        weight: Above 0.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    weight: float

    def __post_init__(self) -> None:
        positive(weight=self.weight)


@dataclass(frozen=True)
class L2:
    """Pushes pixels to gray: minus weight times the mean of (x - 1/2)^2.

    Attributes:
        weight: Above 0.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    weight: float

    def __post_init__(self) -> None:
        positive(weight=self.weight)


@dataclass(frozen=True)
class TotalVariation:
    """Pushes neighbouring pixels together: minus weight times their mean absolute difference
    (Mahendran & Vedaldi 2015).

    Attributes:
        weight: Above 0.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    weight: float

    def __post_init__(self) -> None:
        positive(weight=self.weight)


@dataclass(frozen=True)
class Blur:
    """Blurs the picture by a Gaussian, every so many steps.

    Attributes:
        sigma: Standard deviation as a share of the picture's side, above 0 to 0.1, None for 0.005.
        every: Steps from one blur to the next, 1 to 4096, None for 4.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    sigma: float | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        positive(sigma=self.sigma)
        if self.sigma is not None:
            number("sigma", self.sigma, 0, 0.1)
        if self.every is not None:
            whole("every", self.every, 1, _MOST_STEPS)


@dataclass(frozen=True)
class Clip:
    """Makes the pixels that are nearest to gray gray, every so many steps.

    Attributes:
        share: Share of the pixels, above 0 and below 1, None for 0.1.
        every: Steps from one time to the next, 1 to 4096, None for 4.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    share: float | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        positive(share=self.share)
        if self.share is not None and self.share >= 1:
            raise invalid("share", f"must be below 1, is {self.share}")
        if self.every is not None:
            whole("every", self.every, 1, _MOST_STEPS)


Regularizer = L1 | L2 | TotalVariation | Blur | Clip
