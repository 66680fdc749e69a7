"""Random views that a picture is optimized under: what `transforms` of Model.visualize takes.

They are taken in order. Amounts are relative to the picture, so that they mean the same at every
size. A view is a dataclass here and a member of View; its name and fields are the contract's.
"""

from __future__ import annotations

from dataclasses import dataclass

from striate._rpc.checks import number, positive


@dataclass(frozen=True)
class Jitter:
    """A shift.

    Attributes:
        share: At most so much of the side, 0 to 0.5.

    Raises:
        InvalidArgument: `share` is out of its range.
    """

    share: float

    def __post_init__(self) -> None:
        number("share", self.share, 0, 0.5)


@dataclass(frozen=True)
class Rotate:
    """A rotation.

    Attributes:
        degrees: At most so many either way, 0 to 180.

    Raises:
        InvalidArgument: `degrees` is out of its range.
    """

    degrees: float

    def __post_init__(self) -> None:
        number("degrees", self.degrees, 0, 180)


@dataclass(frozen=True)
class Scale:
    """A change of size.

    Attributes:
        share: At most so much of the size either way, 0 to 0.9.

    Raises:
        InvalidArgument: `share` is out of its range.
    """

    share: float

    def __post_init__(self) -> None:
        number("share", self.share, 0, 0.9)


@dataclass(frozen=True)
class Pad:
    """A gray margin, into which the picture shrinks.

    Attributes:
        share: Width of the margin as a share of the side, 0 to 0.5.

    Raises:
        InvalidArgument: `share` is out of its range.
    """

    share: float

    def __post_init__(self) -> None:
        number("share", self.share, 0, 0.5)


@dataclass(frozen=True)
class Crop:
    """A random square crop, drawn back to full size (Fel et al. 2023).

    Attributes:
        side: Mean side of the crop as a share of the picture's, above 0 to 1, None for 0.25.
        deviation: Standard deviation of that, 0 to 1, None for 0.1.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    side: float | None = None
    deviation: float | None = None

    def __post_init__(self) -> None:
        positive(side=self.side)
        for field, value in (("side", self.side), ("deviation", self.deviation)):
            if value is not None:
                number(field, value, 0, 1)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise.

    Attributes:
        deviation: Standard deviation in pixel units of [0, 1], 0 to 1.

    Raises:
        InvalidArgument: `deviation` is out of its range.
    """

    deviation: float

    def __post_init__(self) -> None:
        number("deviation", self.deviation, 0, 1)


@dataclass(frozen=True)
class Mirror:
    """Left and right exchanged.

    Attributes:
        probability: How often, 0 to 1.

    Raises:
        InvalidArgument: `probability` is out of its range.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        number("probability", self.probability, 0, 1)


View = Jitter | Rotate | Scale | Pad | Crop | Noise | Mirror
