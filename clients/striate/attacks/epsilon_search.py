"""PGD at one epsilon after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from striate.attacks.base import Checked, LossName, NormName, check_rising


@dataclass(frozen=True)
class EpsilonSearch(Checked):
    """PGD at one epsilon after the other, each beginning where the last one ended.

    `Model.epsilon_curve` asks for it.

    Attributes:
        epsilons: Radii in rising order, 1 to 64 of them, in pixel units of [0, 1].
        norm: What they are measured in, "linf", "l2" or "l1".
        steps: Gradient steps for each epsilon, 1 to 10000.
        bisections: So often the gap below each image's minimal epsilon is halved, 0 to 20.
        random_start: Begin at a random point of the first ball.
        loss: What is raised, "cross-entropy", "margin" or "dlr", None for cross-entropy.
        fab_steps: At last, steps of FAB-T towards each of the 9 most probable wrong classes, which
            keep what is nearer, 0 to 10000, 0 for none.

    Raises:
        InvalidArgument: A value is out of its range.
    """

    MOST: ClassVar[int] = 64

    epsilons: tuple[float, ...] = ()
    norm: NormName = "linf"
    steps: int = 10
    bisections: int = 0
    random_start: bool = False
    loss: LossName | None = None
    fab_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("epsilons", check_rising("epsilons", self.epsilons, self.norm, self.MOST))
