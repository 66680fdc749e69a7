"""The attacks beside FGSM and PGD, as methods with names and settings."""

import math

from torch import Tensor

from interp.attack import autoattack
from interp.attack.base import Method
from interp.attack.goal import CROSS_ENTROPY, MARGIN, Loss
from interp.attack.search import in_turn


def apgd(
    epsilon: float | Tensor,
    p: float = math.inf,
    steps: int = 100,
    loss: Loss = CROSS_ENTROPY,
    restarts: int = 1,
) -> Method:
    """PGD that sets its own step sizes (Croce & Hein 2020; for L1 Croce & Hein 2021), see
    `interp.attack.apgd`; in L1 from larger balls on.
    """
    settings = {"steps": steps, "loss": loss.name, "restarts": restarts}
    return Method(
        epsilon,
        p,
        autoattack.apgd_search(steps, loss, restarts, p == 1),
        name="apgd",
        settings=settings,
    )


def apgd_t(
    epsilon: float | Tensor,
    p: float = math.inf,
    steps: int = 100,
    target_classes: int = 9,
    restarts: int = 1,
) -> Method:
    """APGD towards each of the most probable wrong classes by the targeted DLR loss (Croce & Hein
    2020, section 4).

    Of a targeted attack the one class is the target.
    """
    settings = {"steps": steps, "target_classes": target_classes, "restarts": restarts}
    search = autoattack.apgd_targeted(steps, target_classes, p == 1)
    return Method(epsilon, p, in_turn([search] * restarts), name="apgd-t", settings=settings)


def fab(
    epsilon: float | Tensor, p: float = math.inf, steps: int = 100, target_classes: int = 9
) -> Method:
    """The fast adaptive boundary attack in its targeted form (Croce & Hein 2020, "Minimally
    distorted adversarial examples").
    """
    settings = {"steps": steps, "target_classes": target_classes}
    return Method(
        epsilon, p, autoattack.fab_search(steps, target_classes), name="fab-t", settings=settings
    )


def square(
    epsilon: float | Tensor,
    p: float = math.inf,
    queries: int = 5000,
    loss: Loss = MARGIN,
    restarts: int = 1,
) -> Method:
    """Random search without gradients (Andriushchenko et al. 2020, "Square Attack")."""
    settings = {"queries": queries, "loss": loss.name, "restarts": restarts}
    return Method(
        epsilon,
        p,
        in_turn([autoattack.square_search(queries, loss)] * restarts),
        name="square",
        settings=settings,
    )


def auto_attack(epsilon: float | Tensor, p: float = math.inf) -> Method:
    """The standard ensemble, see `interp.attack.autoattack.auto_attack`."""
    settings = {
        "version": "standard",
        "steps": 100,
        "target_classes": 9,
        "queries": 5000,
        "give_up": True,
    }
    return Method(epsilon, p, autoattack.auto_attack(p), name="autoattack", settings=settings)
