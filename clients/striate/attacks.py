"""The attacks, as plain values. What is left None is left to the server's defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from striate.errors import invalid
from striate.v1 import attack_pb2 as pb

NormName = Literal["linf", "l2"]
KeepName = Literal["last", "best"]

_NORMS: dict[str, pb.Norm.ValueType] = {"linf": pb.NORM_LINF, "l2": pb.NORM_L2}
_KEEPS: dict[str | None, pb.Keep.ValueType] = {None: pb.KEEP_UNSPECIFIED, "last": pb.KEEP_LAST, "best": pb.KEEP_BEST}


@dataclass(frozen=True)
class FGSM:
    """One step of size epsilon along the sign of the gradient, or along the gradient for L2 (Goodfellow et al. 2015).

    epsilon: radius of the ball in pixel units of [0, 1]; norm: "linf" or "l2"; keep: "last" (the server's default) or "best" iterate.
    Raises InvalidArgument.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"
    keep: KeepName | None = None

    def __post_init__(self) -> None:
        _check(self.epsilon, self.norm, self.keep)


@dataclass(frozen=True)
class PGD:
    """Projected gradient descent (Madry et al. 2018).

    epsilon: radius of the ball in pixel units of [0, 1]; step: step size in the same units, None for 2.5 * epsilon / steps;
    steps: 1 to 10000; norm: "linf" or "l2"; random_start: begin at a random point of the ball; keep: "last" or "best" (the server's
    default) iterate; stop_when_fooled: stop with an image as soon as it is fooled. Raises InvalidArgument.
    """

    epsilon: float = 8 / 255
    step: float | None = None
    steps: int = 40
    norm: NormName = "linf"
    random_start: bool = True
    keep: KeepName | None = None
    stop_when_fooled: bool = True

    def __post_init__(self) -> None:
        _check(self.epsilon, self.norm, self.keep)
        if self.steps < 1:  # 0 on the wire would silently mean the default
            raise invalid("steps", f"must be 1 to 10000, is {self.steps}")
        if self.step is not None and not 0 <= self.step < math.inf:
            raise invalid("step", f"must be at least 0 and finite, is {self.step}")


Attack = FGSM | PGD


def set_method(request: pb.AttackRequest, attack: Attack) -> None:
    """Writes the attack into the request. Raises InvalidArgument for anything but FGSM and PGD."""
    if isinstance(attack, FGSM):
        request.fgsm.CopyFrom(pb.Fgsm(epsilon=attack.epsilon, norm=_NORMS[attack.norm], keep=_KEEPS[attack.keep]))
    elif isinstance(attack, PGD):
        request.pgd.CopyFrom(
            pb.Pgd(
                epsilon=attack.epsilon,
                norm=_NORMS[attack.norm],
                step=attack.step,
                steps=attack.steps,
                random_start=attack.random_start,
                keep=_KEEPS[attack.keep],
                stop_when_fooled=attack.stop_when_fooled,
            )
        )
    else:
        raise invalid("attack", f"must be a striate.FGSM or striate.PGD, is {type(attack).__name__}")


def _check(epsilon: float, norm: str, keep: str | None) -> None:
    if not 0 <= epsilon < math.inf:
        raise invalid("epsilon", f"must be at least 0 and finite, is {epsilon}")
    if norm not in _NORMS:
        raise invalid("norm", f'must be "linf" or "l2", is {norm!r}')
    if keep not in _KEEPS:
        raise invalid("keep", f'must be None, "last" or "best", is {keep!r}')
