"""Random views that a picture is optimized under: what `transforms` of Model.visualize takes, in
order. Amounts are relative to the picture, so that they mean the same at every size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from striate._rpc.checks import number, positive
from striate.errors import invalid
from striate.v1 import visualize_pb2 as pb

MOST = 16


@dataclass(frozen=True)
class Jitter:
    """A random shift.

    Attributes:
        share: Largest shift as a share of the side, 0 to 0.5.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    share: float

    def __post_init__(self) -> None:
        number("share", self.share, 0, 0.5)


@dataclass(frozen=True)
class Rotate:
    """A random rotation.

    Attributes:
        degrees: Largest angle in either direction, 0 to 180.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    degrees: float

    def __post_init__(self) -> None:
        number("degrees", self.degrees, 0, 180)


@dataclass(frozen=True)
class Scale:
    """A random change of size.

    Attributes:
        share: Largest relative change in either direction, 0 to 0.9.

    Raises:
        InvalidArgument: A value is out of its range.
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
        InvalidArgument: A value is out of its range.
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
        deviation: Standard deviation in pixel units, 0 to 1.

    Raises:
        InvalidArgument: A value is out of its range.
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
        InvalidArgument: A value is out of its range.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        number("probability", self.probability, 0, 1)


View = Jitter | Rotate | Scale | Pad | Crop | Noise | Mirror


def messages(views: Iterable[View]) -> list[pb.Transform]:
    """As they travel. Raises InvalidArgument for anything else, and for more than 16."""
    if not isinstance(views, Iterable) or isinstance(views, str):
        raise invalid(
            "transforms", f"must be True, False or a sequence of views, is {type(views).__name__}"
        )
    found = [_message(view) for view in views]
    if len(found) > MOST:
        raise invalid("transforms", f"must be at most {MOST}, are {len(found)}")
    return found


def _message(view: View) -> pb.Transform:
    match view:
        case Jitter():
            return pb.Transform(jitter=view.share)
        case Rotate():
            return pb.Transform(rotate=view.degrees)
        case Scale():
            return pb.Transform(scale=view.share)
        case Pad():
            return pb.Transform(pad=view.share)
        case Crop():
            return pb.Transform(
                crop=pb.CropTransform(side=view.side or 0, deviation=view.deviation)
            )
        case Noise():
            return pb.Transform(noise=view.deviation)
        case Mirror():
            return pb.Transform(mirror=view.probability)
        case _:
            words = "Jitter, Rotate, Scale, Pad, Crop, Noise and Mirror of striate.view"
            raise invalid("transforms", f"must be {words}, is {type(view).__name__}")
