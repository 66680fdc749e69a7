"""From Regularizer messages to penalties and operators."""

from collections.abc import Callable, Mapping, Sequence

from interp.feature.operator import ClipSmallNorm, GaussianBlur, Operator
from interp.feature.params.base import ParameterizationSpec
from interp.feature.penalty import L1Penalty, L2Penalty, Penalty, TotalVariationPenalty
from service.rpc.validation import InvalidField, above, within
from striate.v1 import visualize_pb2 as pb

MOST_REGULARIZERS = 8
MOST_WEIGHT = 1e6  # of a penalty: beyond, float32 has no digits left for anything else
MOST_EVERY = 4096
MOST_SIGMA = 0.1

_PENALTIES: Mapping[str, Callable[[float], Penalty]] = {
    "l1": L1Penalty,
    "l2": L2Penalty,
    "total_variation": TotalVariationPenalty,
}


def read(
    messages: Sequence[pb.Regularizer], field: str, parameterization: ParameterizationSpec
) -> tuple[tuple[Penalty, ...], tuple[Operator, ...]]:
    """Read what keeps pictures plain.

    Args:
        messages: at most `MOST_REGULARIZERS`.
        field: their path, for errors.
        parameterization: which takes operators only if it can draw any given image.

    Returns:
        The penalties and the operators, each in order.

    Raises:
        InvalidField: There are too many, a number is out of range, or an operator does not go with
            the parameterization.
    """
    if len(messages) > MOST_REGULARIZERS:
        raise InvalidField(field, f"there are {len(messages)}, must be at most {MOST_REGULARIZERS}")
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
