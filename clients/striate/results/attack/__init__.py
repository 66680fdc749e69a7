"""What attacks return: on batches, over epsilons, and image by image on streams."""

from striate.results.attack.epsilon_curve import EpsilonCurve
from striate.results.attack.failure import RowFailure
from striate.results.attack.result import SHOWN_ROWS, AttackResult
from striate.results.attack.stream import AttackRow, StreamedImage

__all__ = [
    "SHOWN_ROWS",
    "AttackResult",
    "AttackRow",
    "EpsilonCurve",
    "RowFailure",
    "StreamedImage",
]
