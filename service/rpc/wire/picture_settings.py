"""From a PictureSettings message to how pictures are made: parameterization, regularizers, random
views, retries. It is the field `settings` of every request that has one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from google.protobuf.message import Message

from interp.ascent import Transform
from interp.feature.operator import ClipSmallNorm, GaussianBlur, Operator
from interp.feature.params.base import ParameterizationSpec
from interp.feature.penalty import L1Penalty, L2Penalty, Penalty, TotalVariationPenalty
from interp.feature.settings import PictureSettings
from interp.feature.spatial import Crop, Jitter, Mirror, Pad, Rotate, Scale
from interp.feature.transform import Noise
from service.imaging import Preprocessing
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, short, within
from service.rpc.wire import parameterizations as wire_parameterizations
from striate.v1 import visualize_pb2 as pb

FIELD = "settings"
MOST_REGULARIZERS = 8
MOST_TRANSFORMS = 16
MOST_WEIGHT = 1e6  # of a term: beyond, float32 has no digits left for anything else
MOST_EVERY = 4096
MOST_SIGMA = 0.1

_PENALTIES: Mapping[str, Callable[[float], Penalty]] = {
    "l1": L1Penalty,
    "l2": L2Penalty,
    "total_variation": TotalVariationPenalty,
}
# Transforms of one amount, and the largest amount of each.
_TRANSFORMS: Mapping[str, tuple[Callable[[float], Transform], float]] = {
    "jitter": (Jitter, 0.5),
    "rotate": (Rotate, 180.0),
    "scale": (Scale, 0.9),
    "pad": (Pad, 0.5),
    "noise": (Noise, 1.0),
    "mirror": (Mirror, 1.0),
}


def read(
    message: pb.PictureSettings,
    shape: tuple[int, int, int],
    learning_rate: float = PictureSettings.learning_rate,
) -> PictureSettings:
    """Read how pictures are made.

    Args:
        message: of the request.
        shape: (C, H, W) of the pictures, see `preprocessing`.
        learning_rate: the default.

    Returns:
        The settings; of MACO without the spectrum, which takes reading a data set.

    Raises:
        InvalidField: Something is out of range, or does not go with the rest.
    """
    parameterization = wire_parameterizations.read(
        message.parameterization, f"{FIELD}.parameterization"
    )
    penalties, operators = _regularizers(message.regularizers, parameterization)
    certification, at = message.certification, f"{FIELD}.certification"
    retries = PictureSettings.retries
    if certification.HasField("retries"):
        retries = within(f"{at}.retries", certification.retries, 0, 8)
    return PictureSettings(
        shape,
        steps=within(f"{FIELD}.steps", message.steps, 1, 4096, default=PictureSettings.steps),
        learning_rate=above(
            f"{FIELD}.learning_rate", message.learning_rate, 1.0, default=learning_rate
        ),
        seed=message.seed,
        parameterization=parameterization,
        alpha=message.parameterization.alpha,
        penalties=penalties,
        operators=operators,
        transforms=_transforms(message),
        further_seeds=within(f"{at}.seeds", certification.seeds, 0, 16),
        retries=retries,
    )


def index_dataset(message: pb.PictureSettings) -> str:
    """Read with which data set pictures are compared.

    Args:
        message: of the request.

    Returns:
        Its name; "" for the one whose index has the most images.

    Raises:
        InvalidField: The name is too long.
    """
    return short(f"{FIELD}.certification.dataset", message.certification.dataset)


def preprocessing(message: pb.PictureSettings, model: HostedModel) -> Preprocessing:
    """Read how the model takes images that have the size of the pictures.

    Args:
        message: of the request.
        model: whose units are shown.

    Returns:
        The model's own preprocessing, or one for that size, which crops the same share of an image.

    Raises:
        InvalidField: The size is out of range.
    """
    own = model.preprocessing
    if not message.size:
        return own
    size = within(f"{FIELD}.size", message.size, 16, 1024)
    resize = max(size, round(own.resize * size / max(own.height, own.width)))
    return replace(own, height=size, width=size, resize=resize)


def _regularizers(
    messages: Sequence[pb.Regularizer], parameterization: ParameterizationSpec
) -> tuple[tuple[Penalty, ...], tuple[Operator, ...]]:
    """The penalties and the operators, each in order."""
    field = f"{FIELD}.regularizers"
    _at_most(messages, field, MOST_REGULARIZERS)
    penalties, operators = list[Penalty](), list[Operator]()
    for i, message in enumerate(messages):
        kind, at = message.WhichOneof("kind"), f"{field}[{i}]"
        if kind is None:
            raise InvalidField(at, "is empty: it must be l1, l2, total_variation, blur or clip")
        if kind in _PENALTIES:
            weight = above(f"{at}.{kind}", getattr(message, kind), MOST_WEIGHT)
            penalties.append(_PENALTIES[kind](weight))
            continue
        if not parameterization.encodes:
            raise InvalidField(
                f"{at}.{kind}",
                f"does not go with {parameterization.name}, which cannot take up a changed picture",
            )
        operators.append(_operator(message, at))
    return tuple(penalties), tuple(operators)


def _operator(message: pb.Regularizer, field: str) -> Operator:
    """A blur or a clip."""
    if message.HasField("blur"):
        blur, at = message.blur, f"{field}.blur"
        sigma = within(f"{at}.sigma", blur.sigma, 0.0, MOST_SIGMA, default=0.005)
        return GaussianBlur(sigma, within(f"{at}.every", blur.every, 1, MOST_EVERY, default=4))
    clip, at = message.clip, f"{field}.clip"
    share = above(f"{at}.share", clip.share, 1.0, default=0.1)
    if share == 1:
        raise InvalidField(f"{at}.share", "is 1, must be below 1")
    return ClipSmallNorm(share, within(f"{at}.every", clip.every, 1, MOST_EVERY, default=4))


def _transforms(message: pb.PictureSettings) -> tuple[Transform, ...] | None:
    """The random views, in order; None: the default ones."""
    field = f"{FIELD}.transforms"
    if message.without_transforms:
        if message.transforms:
            raise InvalidField(field, f"must be empty with {FIELD}.without_transforms")
        return ()
    _at_most(message.transforms, field, MOST_TRANSFORMS)
    transforms = [_transform(one, f"{field}[{i}]") for i, one in enumerate(message.transforms)]
    return tuple(transforms) or None


def _transform(message: pb.Transform, field: str) -> Transform:
    """One random view."""
    kind = message.WhichOneof("kind")
    if kind is None:
        raise InvalidField(field, f"is empty: it must be {', '.join(_TRANSFORMS)} or crop")
    if kind in _TRANSFORMS:
        make, most = _TRANSFORMS[kind]
        return make(within(f"{field}.{kind}", getattr(message, kind), 0.0, most))
    crop, at = message.crop, f"{field}.crop"
    side = above(f"{at}.side", crop.side, 1.0, default=Crop.side)
    if not crop.HasField("deviation"):
        return Crop(side)
    return Crop(side, within(f"{at}.deviation", crop.deviation, 0.0, 1.0))


def weight(field: str, value: float) -> float:
    """Check a factor of any sign.

    Args:
        field: its path, for errors.
        value: what the request says.

    Returns:
        The factor.

    Raises:
        InvalidField: It is larger than `MOST_WEIGHT`, or not a number.
    """
    return within(field, value, -MOST_WEIGHT, MOST_WEIGHT)


def above(field: str, value: float, high: float, default: float | None = None) -> float:
    """Check a number that has to be above 0.

    Args:
        field: its path, for errors.
        value: what the request says.
        high: the largest number that is allowed.
        default: what 0 stands for; None: 0 is refused.

    Returns:
        The number, or the default.

    Raises:
        InvalidField: It is out of range, or not a number.
    """
    if default is not None and value == 0:
        return default
    if not 0 < value <= high or not math.isfinite(value):
        raise InvalidField(field, f"is {value:g}, must be above 0 and at most {high:g}")
    return value


def _at_most(messages: Sequence[Message], field: str, most: int) -> None:
    """Refuse too many messages."""
    if len(messages) > most:
        raise InvalidField(field, f"there are {len(messages)}, must be at most {most}")
