"""The registry of attacks: what the contract calls a method, and what makes it."""

from collections.abc import Callable, Mapping

from interp.attack.apgd import apgd
from interp.attack.autoattack import auto_attack
from interp.attack.base import Method
from interp.attack.fab import fab
from interp.attack.pgd import fgsm, pgd
from interp.attack.square import square

# By the names of the fields of striate.v1.AttackMethod.
ATTACKS: Mapping[str, Callable[..., Method]] = {
    "fgsm": fgsm,
    "pgd": pgd,
    "apgd": apgd,
    "fab": fab,
    "square": square,
    "auto_attack": auto_attack,
}
