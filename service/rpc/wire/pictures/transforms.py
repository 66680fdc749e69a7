"""From Transform messages to random views."""

from collections.abc import Callable, Mapping

from interp.ascent import Transform
from interp.feature.spatial import Crop, Jitter, Mirror, Pad, Rotate, Scale
from interp.feature.transform import Noise
from service.rpc.validation import InvalidField, above, within
from striate.v1 import visualize_pb2 as pb

MOST_TRANSFORMS = 16

# Transforms of one amount, and the largest amount of each.
_TRANSFORMS: Mapping[str, tuple[Callable[[float], Transform], float]] = {
    "jitter": (Jitter, 0.5),
    "rotate": (Rotate, 180.0),
    "scale": (Scale, 0.9),
    "pad": (Pad, 0.5),
    "noise": (Noise, 1.0),
    "mirror": (Mirror, 1.0),
}


def read(message: pb.PictureSettings, field: str) -> tuple[Transform, ...] | None:
    """Read the random views that pictures are optimized under.

    Args:
        message: the settings of a request.
        field: their path, for errors.

    Returns:
        The views, in order; () for none, None for the default ones.

    Raises:
        InvalidField: There are too many, a number is out of range, or there are some although there
            are to be none.
    """
    at = f"{field}.transforms"
    if message.without_transforms:
        if message.transforms:
            raise InvalidField(at, f"must be empty with {field}.without_transforms")
        return ()
    if len(message.transforms) > MOST_TRANSFORMS:
        raise InvalidField(
            at, f"there are {len(message.transforms)}, must be at most {MOST_TRANSFORMS}"
        )
    transforms = [_transform(one, f"{at}[{i}]") for i, one in enumerate(message.transforms)]
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
