"""From the messages of threat models to norms and radii."""

import math
from collections.abc import Sequence
from itertools import pairwise

from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, within
from striate.v1 import attack_pb2 as pb

_NORMS: dict[int, float] = {
    pb.NORM_UNSPECIFIED: math.inf,
    pb.NORM_LINF: math.inf,
    pb.NORM_L2: 2.0,
    pb.NORM_L1: 1.0,
}


def read_norm(value: int, field: str) -> float:
    """Read a norm.

    Args:
        value: of the request.
        field: its name, for errors.

    Returns:
        Its p: `math.inf`, which is the default, 2 or 1.

    Raises:
        InvalidField: it is none of the contract's.
    """
    if value not in _NORMS:
        raise InvalidField(field, "must be NORM_LINF, NORM_L2 or NORM_L1")
    return _NORMS[value]


def read_epsilon(value: float, p: float, field: str, model: HostedModel) -> float:
    """Read a radius in pixel units, from 0 to the distance of the farthest corner of the box.

    Args:
        value: of the request.
        p: the norm, `math.inf`, 2 or 1.
        field: its name, for errors.
        model: that will be attacked.

    Raises:
        InvalidField: it is out of range.
    """
    pixels = math.prod(model.network.shape)
    return within(field, value, 0.0, 1.0 if p == math.inf else pixels ** (1 / p))


def read_epsilons(
    values: Sequence[float], field: str, p: float, model: HostedModel, most: int
) -> list[float]:
    """Read radii in rising order, from one to `most` of them.

    Args:
        values: of the request.
        field: their name, for errors.
        p: the norm, `math.inf`, 2 or 1.
        model: that will be attacked.
        most: how many there may be.

    Raises:
        InvalidField: there are too few or too many, one is out of range, or they do not rise.
    """
    if not 1 <= len(values) <= most:
        raise InvalidField(field, f"there are {len(values)}, must be from 1 to {most}")
    found = [read_epsilon(value, p, f"{field}[{i}]", model) for i, value in enumerate(values)]
    if any(b <= a for a, b in pairwise(found)):
        raise InvalidField(field, "must rise")
    return found
