"""The attacks, as plain values: what is tried, within which ball, and towards what."""

from striate.attacks.base import KEEPS, LOSSES, NORMS, Attack, KeepName, LossName, NormName
from striate.attacks.epsilon_search import EpsilonSearch
from striate.attacks.methods import APGD, ATTACKS, FAB, FGSM, PGD, AutoAttack, Square
from striate.attacks.unit_goal import Drive, Silence

__all__ = [
    "APGD",
    "ATTACKS",
    "FAB",
    "FGSM",
    "KEEPS",
    "LOSSES",
    "NORMS",
    "PGD",
    "Attack",
    "AutoAttack",
    "Drive",
    "EpsilonSearch",
    "KeepName",
    "LossName",
    "NormName",
    "Silence",
    "Square",
]
