"""The attacks, as plain values: what is tried, within which ball, and towards what."""

from striate.attacks import methods
from striate.attacks.base import KEEPS, LOSSES, NORMS, Attack, KeepName, LossName, NormName
from striate.attacks.epsilon_search import EpsilonSearch
from striate.attacks.methods import *  # noqa: F403 (its `__all__` names the attacks)
from striate.attacks.methods import ATTACKS
from striate.attacks.named import named_attack
from striate.attacks.unit_goal import Drive, Silence

__all__ = [
    "ATTACKS",
    "KEEPS",
    "LOSSES",
    "NORMS",
    "Attack",
    "Drive",
    "EpsilonSearch",
    "KeepName",
    "LossName",
    "NormName",
    "Silence",
    "named_attack",
]
__all__ += methods.__all__
