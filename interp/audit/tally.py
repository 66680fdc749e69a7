"""What the shards of an audit add up to, whatever their order and size: counts, paired comparisons
and gates.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from interp.audit.conditions import condition, parse
from interp.audit.findings import finders
from interp.audit.plan import Plan
from interp.audit.result import Bools, Ints, ShardResult
from interp.audit.statistics import Gate, GateDecision, GateVerdict, by_class

CLEAN, CORRUPTIONS = "clean", "corruptions"


class Sums:
    """Counts of images on one network. Lists have one entry a threat, E is the number of its
    epsilons.
    """

    def __init__(self, plan: Plan, classes: int) -> None:
        def zeros(*shape: int) -> Ints:
            return np.zeros(shape, dtype=np.int64)

        grids = [len(threat.epsilons) for threat in plan.threats]
        self.trials = zeros(classes)  # images that were answered
        self.clean = zeros(classes)  # right
        self.noise = [zeros(grid) for grid in grids]  # right
        self.robust = [zeros(len(plan.attacks), grid) for grid in grids]  # (attacks, E) right
        self.least = [
            zeros(classes, grid + 2) for grid in grids
        ]  # wrong as they are, by least epsilon that fools, fooled by none
        self.found_by = [
            zeros(len(finders(plan)), len(grids) + 1) for _ in grids
        ]  # (finders, threats under which they searched, NOWHERE last) nearest images met
        self.corrupted = zeros(len(plan.corrupted))  # right
        self.augmented = zeros(len(plan.augmentations))  # right
        self.gradients = self.queries = 0

    def add(self, judged: ShardResult, labels: Ints, first_row: int) -> None:
        """Count a shard's images, of classes `labels` (B,): those that the network answers by
        numbers.

        Args:
            judged: what was found out about the images.
            labels: (B,) their classes.
            first_row: place of the first image in the audit's order.
        """
        judged, labels = judged.of_answered(first_row), labels[judged.answered]
        right, trials = by_class(judged.right(labels), labels, len(self.trials))
        self.trials += trials
        self.clean += right
        for threat, noise in enumerate(judged.noise):
            self.noise[threat] += noise.sum(1)
            self.robust[threat] += (
                judged.fooled_at[threat][:, None] > np.arange(len(noise))[:, None]
            ).sum(2)
            np.add.at(self.least[threat], (labels, judged.least(threat, labels) + 1), 1)
            examples = judged.examples[threat]
            np.add.at(self.found_by[threat], (examples.finder, examples.under), 1)
        self.corrupted += judged.corrupted.sum(1)
        self.augmented += judged.augmented.sum(1)
        self.gradients += judged.gradients
        self.queries += judged.queries

    def worst(self, threat: int) -> Ints:
        """(classes, E) images that withstand all that the audit knows."""
        return self.least[threat][:, ::-1].cumsum(1)[:, ::-1][:, 2:]


class NetworkGate(NamedTuple):
    """A gate of an audit: of a network by its number, at "clean" or at a threat's condition like
    "linf:8/255".
    """

    network: int
    condition: str
    gate: Gate


class GateProgress:
    """A gate at work, which takes its images in the audit's order; those that come too
    early wait.
    """

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.decided: GateDecision | None = None
        self.successes = self.trials = 0
        self.row = 0  # place of the next image in the audit's order
        self.waiting: dict[int, tuple[Bools, Bools]] = {}

    @property
    def decision(self) -> GateDecision:
        """What `interp.audit.statistics.Gate.decide` says of the images taken."""
        return self.decided or GateDecision(GateVerdict.OPEN, self.trials)

    def add(self, right: Bools, first_row: int, answered: Bools | None = None) -> None:
        """Take the images first_row.. of the audit's order, right (B,), or let them wait for those
        before them.

        Args:
            right: (B,) bool.
            first_row: place of the first image in the audit's order.
            answered: (B,) bool, those that count; None: all.
        """
        every = np.ones(len(right), np.bool_)
        self.waiting[first_row] = right, every if answered is None else answered
        while self.row in self.waiting:
            right, answered = self.waiting.pop(self.row)
            if not len(right):
                break
            self.row += len(right)
            self._take(right[answered])

    def _take(self, right: Bools) -> None:
        if not len(right):
            return
        passing, failing = self.gate.evidence(
            self.successes + np.cumsum(right), self.trials + np.arange(1, len(right) + 1)
        )
        passed = passing >= -math.log(self.gate.false_pass)
        reached = passed | (failing >= -math.log(self.gate.false_fail))
        if self.decided is None and reached.any():
            first = int(reached.argmax())
            self.decided = GateDecision(
                GateVerdict.PASS if passed[first] else GateVerdict.FAIL, self.trials + first + 1
            )
        self.successes += int(right.sum())
        self.trials += len(right)


def compared_conditions(plan: Plan) -> list[str]:
    """The conditions under which networks are compared: clean, each threat's largest epsilon, the
    corruptions if there are any.
    """
    largest = [condition(p, epsilons[-1]) for p, epsilons in plan.threats]
    return [CLEAN, *largest, *([CORRUPTIONS] if plan.corrupted else [])]


def _scores(judged: ShardResult, labels: Ints, plan: Plan) -> Ints:
    """(conditions of `compared_conditions`, B) how often each image is right."""
    robust = [
        judged.least(number, labels) == len(threat.epsilons)
        for number, threat in enumerate(plan.threats)
    ]
    corrupted = [judged.corrupted.sum(0)] if plan.corrupted else []
    return np.stack([judged.right(labels), *robust, *corrupted]).astype(np.int64)


class Tally:
    """All that a report needs of the shards so far. It does not grow with their number, as long as
    none comes before its turn.

    Attributes:
        sums: one a network.
        pairs: for every two networks, by number, (conditions of `compared_conditions`, 2): images
            on which the first is right more often, and the second. Under the corruptions an image
            counts once, for whoever is right on more of its corrupted versions: these are not
            independent of each other, and images are.
        gate_progress: one a gate.
        images: so many were judged, answered or not.
        reference: of a network that is none of these, and is judged by a plan of its own.

    Raises:
        ValueError: a gate's condition is neither "clean" nor of the plan.
    """

    def __init__(
        self,
        plan: Plan,
        classes: int,
        networks: int,
        gates: Sequence[NetworkGate] = (),
        reference: Plan | None = None,
    ) -> None:
        self.plan, self.classes = plan, classes
        self.sums = [Sums(plan, classes) for _ in range(networks)]
        self.reference = None if reference is None else Sums(reference, classes)
        self.pairs = {
            pair: np.zeros((len(compared_conditions(plan)), 2), dtype=np.int64)
            for pair in combinations(range(networks), 2)
        }
        self.gates = [gated._replace(condition=_known(gated.condition, plan)) for gated in gates]
        self.gate_progress = [GateProgress(gated.gate) for gated in gates]
        self.images = 0

    @property
    def decided(self) -> bool:
        """Whether there are gates and all are decided."""
        return bool(self.gate_progress) and all(progress.decided for progress in self.gate_progress)

    @property
    def gradients(self) -> int:
        """Image-gradients of all networks."""
        return sum(sums.gradients for sums in self.sums)

    def add(self, judged: Sequence[ShardResult], labels: Ints, first_row: int) -> None:
        """Count a shard, once: what was found on each network of its images, first_row.. of the
        audit's order, classes (B,).

        Args:
            judged: what was found out about the images, on the reference last if there is one.
            labels: (B,) their classes.
            first_row: place of the first image in the audit's order.
        """
        self.images += len(labels)
        reference = [] if self.reference is None else [self.reference]
        for sums, one in zip([*self.sums, *reference], judged, strict=True):
            sums.add(one, labels, first_row)
        scores = [_scores(one, labels, self.plan) for one in judged[: len(self.sums)]]
        for (first, second), counts in self.pairs.items():
            better = [scores[first] > scores[second], scores[second] > scores[first]]
            both = judged[first].answered & judged[second].answered
            counts += np.stack(better, 2)[:, both].sum(1)
        for gated, progress in zip(self.gates, self.gate_progress, strict=True):
            one = judged[gated.network]
            right = _withstands(one, labels, gated.condition, self.plan)
            progress.add(right, first_row, one.answered)


def _places(plan: Plan) -> dict[str, tuple[int, int]]:
    """Condition -> (index of the threat, index of the epsilon)."""
    return {
        condition(p, epsilon): (t, e)
        for t, (p, epsilons) in enumerate(plan.threats)
        for e, epsilon in enumerate(epsilons)
    }


def _known(name: str, plan: Plan) -> str:
    known = name if name == CLEAN else condition(*parse(name))
    if known != CLEAN and known not in _places(plan):
        raise ValueError(
            f"gates: {name!r} is neither {CLEAN} nor one of {', '.join(_places(plan))}"
        )
    return known


def _withstands(judged: ShardResult, labels: Ints, name: str, plan: Plan) -> Bools:
    """(B,) which images are right at a condition, as far as the audit knows."""
    if name == CLEAN:
        return judged.right(labels)
    threat, epsilon = _places(plan)[name]
    return judged.least(threat, labels) > epsilon
