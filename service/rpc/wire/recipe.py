"""From a VisualizeRequest to how its pictures are made: space, regularizers, random views,
certification.
"""

import math
from collections.abc import Sequence

from google.protobuf.message import Message

from service.rpc.validation import InvalidField, required, short, within
from service.visualization.spec import Part
from striate.v1 import visualize_pb2 as pb

MOST_REGULARIZERS = 8
MOST_VIEWS = 16
MOST_WEIGHT = 1e6  # of a term: beyond, float32 has no digits left for anything else
MOST_EVERY = 4096
MOST_SIGMA = 0.10000000149011612  # 0.1 in 32 bits, as it travels
_SIMPLE_VIEWS = {
    "jitter": 0.5,
    "rotate": 180.0,
    "scale": 0.9,
    "pad": 0.5,
    "noise": 1.0,
    "mirror": 1.0,
}  # largest amounts


def space(message: pb.Parameterization, field: str) -> tuple[Part, str]:
    """The parameterization, and the data set of maco ("" of others)."""
    kind = message.WhichOneof("kind") or "fourier"
    field = f"{field}.{kind}"
    match kind:
        case "cppn":
            depth = within(f"{field}.depth", message.cppn.depth, 1, 16, default=8)
            return (
                kind,
                (depth, within(f"{field}.width", message.cppn.width, 1, 64, default=24)),
            ), ""
        case "maco":
            if message.alpha:
                raise InvalidField(
                    f"{field.rpartition('.')[0]}.alpha",
                    "does not go with maco, which has a transparency of its own",
                )
            images = within(f"{field}.images", message.maco.images, 1, 100_000, default=1000)
            cut = _optional(message.maco, "transparency", field, 0.0, 100.0, default=90.0)
            return (kind, (images, cut)), required(f"{field}.dataset", message.maco.dataset)
        case "pixels":
            return (kind, ()), ""
    return (kind, (_optional(message.fourier, "decay", field, 0.0, 4.0, default=1.0),)), ""


def regularizers(messages: Sequence[pb.Regularizer], field: str) -> tuple[Part, ...]:
    """The terms g(x) and the operators, in order."""
    _at_most(messages, field, MOST_REGULARIZERS)
    return tuple(_regularizer(message, f"{field}[{i}]") for i, message in enumerate(messages))


def _regularizer(message: pb.Regularizer, field: str) -> Part:
    kind = message.WhichOneof("kind")
    match kind:
        case None:
            raise InvalidField(field, "is empty: it must be l1, l2, total_variation, blur or clip")
        case "blur":
            sigma = within(
                f"{field}.blur.sigma", message.blur.sigma, 0.0, MOST_SIGMA, default=0.005
            )
            return kind, (sigma, _every(message.blur.every, f"{field}.blur"))
        case "clip":
            share = above(f"{field}.clip.share", message.clip.share, 1.0, default=0.1)
            if share == 1:
                raise InvalidField(f"{field}.clip.share", "is 1, must be below 1")
            return kind, (share, _every(message.clip.every, f"{field}.clip"))
    return kind, (above(f"{field}.{kind}", getattr(message, kind), MOST_WEIGHT),)


def _every(value: int, field: str) -> int:
    return within(f"{field}.every", value, 1, MOST_EVERY, default=4)


def views(
    messages: Sequence[pb.Transform], without: bool, field: str, flag: str
) -> tuple[Part, ...] | None:
    """The random views, in order; None: the default ones. `without` (the request's field `flag`):
    none at all.
    """
    if without:
        if messages:
            raise InvalidField(field, f"must be empty with {flag}")
        return ()
    _at_most(messages, field, MOST_VIEWS)
    return tuple(_view(message, f"{field}[{i}]") for i, message in enumerate(messages)) or None


def _view(message: pb.Transform, field: str) -> Part:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise InvalidField(field, f"is empty: it must be {', '.join(_SIMPLE_VIEWS)} or crop")
    if kind == "crop":
        side = above(f"{field}.crop.side", message.crop.side, 1.0, default=0.25)
        return kind, (
            side,
            _optional(message.crop, "deviation", f"{field}.crop", 0.0, 1.0, default=0.1),
        )
    return kind, (within(f"{field}.{kind}", getattr(message, kind), 0.0, _SIMPLE_VIEWS[kind]),)


def certification(message: pb.Certification, field: str) -> tuple[str, int, int]:
    """Data set, further seeds, retries."""
    retries = message.retries if message.HasField("retries") else 2
    return (
        short(f"{field}.dataset", message.dataset),
        within(f"{field}.seeds", message.seeds, 0, 16),
        within(f"{field}.retries", retries, 0, 8),
    )


def weight(field: str, value: float) -> float:
    """A factor of any sign."""
    return within(field, value, -MOST_WEIGHT, MOST_WEIGHT)


def above(field: str, value: float, high: float, default: float | None = None) -> float:
    """A number above 0 to `high`, or the default where it is 0."""
    if default is not None and value == 0:
        return default
    if not 0 < value <= high or not math.isfinite(value):
        raise InvalidField(field, f"is {value:g}, must be above 0 and at most {high:g}")
    return value


def _optional(
    message: Message, name: str, field: str, low: float, high: float, default: float
) -> float:
    """A number that has presence: 0 means 0."""
    return (
        within(f"{field}.{name}", getattr(message, name), low, high)
        if message.HasField(name)
        else default
    )


def _at_most(messages: Sequence[Message], field: str, most: int) -> None:
    if len(messages) > most:
        raise InvalidField(field, f"there are {len(messages)}, must be at most {most}")
