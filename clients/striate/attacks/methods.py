"""The attacks, as plain values, and the registry of them.

What is left None is left to the server's defaults. An attack is a dataclass here, a row of
ATTACKS and a name in `__all__`, by which `striate` exports it; its fields are called as those of
its message in the contract.
"""

from __future__ import annotations

from collections.abc import Mapping

from striate._rpc.checks import whole
from striate.attacks.base import Attack, KeepName, LossName, NormName
from striate.attacks.spelling import attack_dataclass
from striate.errors import invalid

__all__ = ["APGD", "FAB", "FGSM", "PGD", "AutoAttack", "Square"]


@attack_dataclass
class FGSM(Attack):
    """One step of size epsilon along the sign of the gradient (Goodfellow et al. 2015).

    For L2 the step goes along the gradient, for L1 evenly along the largest twentieth of its
    entries, as far as [0, 1] lets each.

    Attributes:
        epsilon: Radius of the ball in pixel units of [0, 1]; the constructor takes it as eps too.
        norm: What the ball is measured in, "linf", "l2" or "l1".
        keep: Which iterate is returned, "last" or "best", None for last.
        loss: What is raised, "cross-entropy", "margin" or "dlr", None for cross-entropy.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"
    keep: KeepName | None = None
    loss: LossName | None = None


@attack_dataclass
class PGD(Attack):
    """Projected gradient descent (Madry et al. 2018); with a decay, MI-FGSM (Dong et al. 2018).

    In L1 a hundredth of the pixels share the first step, fewer each of the next, and one takes the
    last, as far as [0, 1] lets each.

    Attributes:
        epsilon: Radius of the ball in pixel units of [0, 1]; the constructor takes it as eps too.
        step: Step size in pixel units, None for 2.5 * epsilon / steps.
        steps: Gradient steps, 1 to 10000.
        norm: What the ball is measured in, "linf", "l2" or "l1".
        random_start: Begin at a random point of the ball.
        keep: Which iterate is returned, "last" or "best", None for best.
        stop_when_fooled: Stop with an image as soon as it is fooled.
        loss: What is raised, "cross-entropy", "margin" or "dlr", None for cross-entropy.
        restarts: Attempts, 1 to 100, each on the images that none before it has fooled; more than
            one only with random_start.
        decay: Decay of a momentum of gradients, 0 to 10, None for no momentum, in L1 for 0.75.

    Raises:
        InvalidArgument: A value is out of its range, or restarts would all be the same.
    """

    epsilon: float = 8 / 255
    step: float | None = None
    steps: int = 40
    norm: NormName = "linf"
    random_start: bool = True
    keep: KeepName | None = None
    stop_when_fooled: bool = True
    loss: LossName | None = None
    restarts: int = 1
    decay: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restarts > 1 and not self.random_start:
            raise invalid(
                "restarts", "must be 1 without random_start: all attempts would be the same"
            )


@attack_dataclass
class APGD(Attack):
    """PGD that sets its own step sizes, from a random start (Croce & Hein 2020; L1: 2021).

    Attributes:
        epsilon: Radius of the ball in pixel units of [0, 1]; the constructor takes it as eps too.
        norm: What the ball is measured in, "linf", "l2" or "l1".
        steps: Gradient steps, 1 to 10000.
        loss: What is raised, "cross-entropy", "margin" or "dlr", None for cross-entropy.
        restarts: Attempts, 1 to 100.
        target_classes: 0 for one untargeted search, else APGD-T: a search towards each of so many
            of the most probable wrong classes, up to 1000.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"
    steps: int = 100
    loss: LossName | None = None
    restarts: int = 1
    target_classes: int = 0


@attack_dataclass
class FAB(Attack):
    """The fast adaptive boundary attack in its targeted form, FAB-T (Croce & Hein 2020).

    It looks for the nearest point of another class.

    Attributes:
        epsilon: Radius of the ball in pixel units of [0, 1]; the constructor takes it as eps too.
        norm: What the ball is measured in, "linf", "l2" or "l1".
        steps: Gradient steps for each target class, 1 to 10000.
        target_classes: How many of the most probable wrong classes are tried, 1 to 1000.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"
    steps: int = 100
    target_classes: int = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("target_classes", self.target_classes, 1, 1000)  # it has no untargeted form


@attack_dataclass
class Square(Attack):
    """Random search without gradients (Andriushchenko et al. 2020).

    Attributes:
        epsilon: Radius of the ball in pixel units of [0, 1]; the constructor takes it as eps too.
        norm: What the ball is measured in, "linf", "l2" or "l1".
        queries: Images that the network is asked about, 1 to 100000.
        loss: What is raised, "cross-entropy", "margin" or "dlr", None for margin.
        restarts: Attempts, 1 to 100.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"
    queries: int = 5000
    loss: LossName | None = None
    restarts: int = 1


@attack_dataclass
class AutoAttack(Attack):
    """The standard ensemble of APGD, APGD-T, FAB-T and Square (Croce & Hein 2020).

    Each attacks the images that those before it have not fooled.

    Attributes:
        epsilon: Radius of the ball in pixel units of [0, 1]; the constructor takes it as eps too.
        norm: What the ball is measured in, "linf", "l2" or "l1".

    Raises:
        InvalidArgument: A value is out of its range.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"


ATTACKS: Mapping[str, type[Attack]] = {  # by their names in the contract's AttackMethod
    "fgsm": FGSM,
    "pgd": PGD,
    "apgd": APGD,
    "fab": FAB,
    "square": Square,
    "auto_attack": AutoAttack,
}
