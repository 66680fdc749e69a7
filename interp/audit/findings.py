"""What an audit knows against each image: the nearest misclassified image that any part of it asked
the network about.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.attack.ball import LEVELS
from interp.attack.unanswered import legal_logits
from interp.audit.conditions import NORMS
from interp.audit.plan import Plan
from interp.audit.result import NOWHERE, Examples
from interp.norms import norm
from interp.probe import Answer, Probe, Procedure, on_rows

T = TypeVar("T")

NOISE, CHECKS, SUFFICIENCY, EXPECTATION = (
    "random noise",
    "checks",
    "sufficiency check",
    "expectation over neighbours",
)
# By how much rounding may lengthen the perturbation of an image that is not of 8-bit levels: a
# share of epsilon, and every pixel; of one that is, what a ball of them allows, in levels.
SLACK, OF_A_PIXEL, OF_A_LEVEL = 1e-5, 2.0**-23, 1e-4


def finders(plan: Plan) -> list[str]:
    """Name the parts of an audit that ask a network about images, its attacks first, in the order
    of the plan.

    Args:
        plan: of the audit.
    """
    return [
        *(entry.label for entry in plan.attacks),
        NOISE,
        *(f"{name} {severity}" for name, severity in plan.corrupted),
        *(f"augmentation {name}" for name in plan.augmentations),
        CHECKS,
        SUFFICIENCY,
        EXPECTATION,
    ]


def finder_name(plan: Plan, threat: int, finder: int, under: int) -> str:
    """Say who met an image of a threat's ball: "PGD-40", or "PGD-40 in l2" where it searched under
    another threat.

    Args:
        plan: of the audit.
        threat: number of the threat whose ball it lies in.
        finder: index in `finders`.
        under: number of the threat under which it was met, NOWHERE if under none.
    """
    name = finders(plan)[finder]
    if under == threat or under not in range(len(plan.threats)):
        return name
    return f"{name} in {NORMS[plan.threats[under].p]}"


def perturbation(images: Tensor, x: Tensor, p: float, eight_bit: bool) -> Tensor:
    """Measure how far images are from others.

    Args:
        images: (B, C, H, W).
        x: (B, C, H, W).
        p: the norm, `math.inf`, 2 or 1.
        eight_bit: both are of 8-bit levels.

    Returns:
        (B,) float64 in pixel units; of 8-bit images by whole levels.
    """
    delta = (images - x).double()
    if eight_bit:
        return norm((delta * LEVELS).round(), p).flatten() / LEVELS
    return norm(delta, p).flatten()


def longest(epsilon: float, p: float, pixels: int, eight_bit: bool) -> float:
    """Bound the perturbation of an image that a ball of radius `epsilon` holds, as numbers are
    rounded.

    Args:
        epsilon: radius in pixel units.
        p: the norm, `math.inf`, 2 or 1.
        pixels: of an image, all channels.
        eight_bit: images are of 8-bit levels.
    """
    if eight_bit:
        return epsilon + OF_A_LEVEL / LEVELS
    return epsilon * (1 + SLACK) + OF_A_PIXEL * float(pixels ** (1 / p))


class Finding(NamedTuple):
    """A misclassified image in a threat's ball; of two the lesser is kept.

    Attributes:
        epsilon: index of the least of the threat's epsilons whose ball holds it.
        rank: of who met it: the threat's own attacks by their number, then all others alike.
    """

    epsilon: int
    rank: int
    finder: int
    under: int
    prediction: int
    norm: float
    image: NDArray[Any]


class Findings:
    """The nearest misclassified images that were met, row by row and threat by threat.

    Only images that can be kept count: with `plan.eight_bit` those of 8-bit levels, otherwise those
    of float32 pixels. What is wrong as it is has nothing to be met.

    Args:
        x: images (B, C, H, W) in [0, 1], of 8-bit levels with `plan.eight_bit`.
        labels: (B,) int64.
        right: (B,) bool, which images are classified correctly as they are.
        plan: of the audit.
        first_row: the place of the first image in the audit's order.
    """

    def __init__(
        self, x: Tensor, labels: Tensor, right: Tensor, plan: Plan, first_row: int = 0
    ) -> None:
        self.x, self.labels, self.right, self.plan = x, labels, right, plan
        self.first_row = first_row
        self.finders = finders(plan)
        self.never = [len(threat.epsilons) for threat in plan.threats]
        self.nearest: list[dict[int, Finding]] = [{} for _ in plan.threats]

    def watch(
        self,
        procedure: Procedure[T],
        finder: str,
        under: int = NOWHERE,
        rows: Tensor | None = None,
    ) -> Procedure[T]:
        """Run a procedure, and note what it meets.

        Args:
            procedure: one that has not begun; its probes' rows are those of the images.
            finder: one of `finders`.
            under: number of the threat under which it searches.
            rows: (A,) int64, the rows that it was given, if not all.

        Returns:
            The same procedure.
        """
        procedure = procedure if rows is None else on_rows(procedure, rows)
        number = self.finders.index(finder)
        try:
            probe = next(procedure)
            while True:
                answer = yield probe
                self.note(probe, answer, number, under)
                probe = procedure.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            procedure.close()

    def note(self, probe: Probe, answer: Answer, finder: int, under: int) -> None:
        """Note what an answer says of the images of its probe.

        Args:
            probe: whose rows are those of the images.
            answer: to it; without logits it says nothing.
            finder: index in `finders`.
            under: number of the threat under which was searched.
        """
        if answer.logits is None or not self.nearest:
            return
        every = torch.arange(len(probe.images), device=self.labels.device)
        rows = every if probe.rows is None else probe.rows.to(self.labels.device)
        prediction = answer.logits.argmax(1).to(rows)
        answered = legal_logits(answer.logits).to(self.right)
        judged = (prediction != self.labels[rows]) & self.right[rows] & answered
        (wrong,) = judged.nonzero(as_tuple=True)
        if not len(wrong):
            return
        images, kept, exact = self._stored(probe.images[wrong].to(self.x))
        wrong, images, kept = wrong[exact], images[exact], kept[exact]
        for number, (p, _) in enumerate(self.plan.threats):
            length = perturbation(images, self.x[rows[wrong]], p, self.plan.eight_bit)
            self._keep(number, finder, under, kept, rows[wrong], prediction[wrong].tolist(), length)

    def least(self, threat: int) -> Tensor:
        """(B,) int64: index of the least epsilon whose ball holds an image that was met, E if none
        does.
        """
        least = torch.full_like(self.labels, self.never[threat])
        for row, found in self.nearest[threat].items():
            least[row] = found.epsilon
        return least

    def examples(self) -> list[Examples]:
        """What was met, one entry a threat, by rising row."""
        return [self._examples(found) for found in self.nearest]

    def _stored(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images as the network takes what is stored of them, as they are stored, and (B,) which
        of them storing does not change.
        """
        if self.plan.eight_bit:
            kept = (images * LEVELS).round().to(torch.uint8)
            again = kept.to(images) / LEVELS
        else:
            kept = images.float()
            again = kept.to(images)
        return again, kept, (again == images).flatten(1).all(1)

    def _keep(
        self,
        number: int,
        finder: int,
        under: int,
        kept: Tensor,
        rows: Tensor,
        prediction: Sequence[int],
        length: Tensor,
    ) -> None:
        p, epsilons = self.plan.threats[number]
        pixels, nearest = self.x[0].numel(), self.nearest[number]
        reach = [longest(epsilon, p, pixels, self.plan.eight_bit) for epsilon in epsilons]
        level = np.searchsorted(reach, length.cpu().numpy())
        attacks = len(self.plan.attacks)
        rank = finder if under == number and finder < attacks else attacks
        for place, row in enumerate(rows.tolist()):
            at = int(level[place])
            if at == len(epsilons) or (row in nearest and nearest[row][:2] <= (at, rank)):
                continue
            image = kept[place].cpu().numpy().copy()
            nearest[row] = Finding(
                at, rank, finder, under, prediction[place], float(length[place]), image
            )

    def _examples(self, nearest: dict[int, Finding]) -> Examples:
        rows = sorted(nearest)
        found = [nearest[row] for row in rows]
        kind = np.uint8 if self.plan.eight_bit else np.float32
        images = np.zeros((len(rows), *self.x.shape[1:]), dtype=kind)
        for place, one in enumerate(found):
            images[place] = one.image

        def column(values: Sequence[int]) -> NDArray[np.int64]:
            return np.array(values, dtype=np.int64)

        return Examples(
            images,
            column(rows) + self.first_row,
            column([one.finder for one in found]),
            column([one.under for one in found]),
            column([one.epsilon for one in found]),
            column([one.prediction for one in found]),
            np.array([one.norm for one in found], dtype=np.float64),
        )
