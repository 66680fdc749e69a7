"""Checks of attacks against one another: what is stronger has to succeed where what is
weaker does.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.apgd_ascent import apgd_ascent
from interp.attack.ball import Ball, radii
from interp.attack.base import Method
from interp.attack.goal import CROSS_ENTROPY, MARGIN, Goal, Loss, Untargeted
from interp.attack.pgd import fgsm, pgd
from interp.attack.square import square
from interp.audit.checks.check import (
    CHANGE,
    LEVEL,
    SOUND,
    Check,
    check,
    count,
    dominates,
    excess,
    gap,
    probability,
    skipped,
)
from interp.audit.checks.outputs import look
from interp.audit.conditions import NORMS, condition, radius
from interp.probe import Procedure
from interp.seeds import Generators, generators

RUN = 2**52  # what lies between the seeds of two runs
RUNGS = 6  # radii at most, each twice another
HALF = 0.5  # of the images, which the white-box attack is to fool
NOISES = 10  # draws
QUERIES = 100  # of the black-box search
CHECKS = (
    "iterative",
    "monotone",
    "huge-epsilon",
    "doubled-steps",
    "doubled-restarts",
    "other-loss",
    "black-box",
    "noise",
)
MASKED = "Athalye et al. 2018, section 3.1"
CONVERGED = "Carlini et al. 2019, section 3.2"


def white_box(
    p: float, steps: int, loss: Loss = CROSS_ENTROPY, random_start: bool = True
) -> Method:
    """The attack that is measured: PGD; for L1, in which PGD is weak, APGD with twice the steps."""
    if p != 1:
        return pgd(steps=steps, loss=loss, random_start=random_start)

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        start = replace(ball, random_start=random_start)
        return (
            yield from apgd_ascent(
                start,
                goal.objective(loss),
                2 * steps,
                rows,
                lambda answer, chosen: goal.take(chosen).reached(answer),
            )
        )

    return Method(search, name="apgd")


Rung = tuple[float, Tensor]  # a radius, which images (B,) the white-box attack fools there


@dataclass(frozen=True, eq=False)
class Arena:
    """Images x (B, C, H, W) that are classified correctly, B at least 1, and their labels; `row`
    (B,) are their absolute rows.
    """

    x: Tensor
    labels: Tensor
    row: Tensor
    p: float
    steps: int
    seed: int

    def streams(self, run: int, which: Tensor) -> Generators:
        """The generators of some of the images in one of the runs."""
        rows = self.row[which].tolist()
        return [generators(self.seed + RUN * (run + 1), row, 1)[0] for row in rows]

    def fooled(
        self, run: int, method: Method, epsilon: float, among: Tensor | None = None
    ) -> Procedure[Tensor]:
        """Which images (B,) the method fools at an epsilon, judged anew on what it returns; those
        not `among` (B,) count as not fooled.
        """
        verdict = torch.zeros_like(self.labels, dtype=torch.bool)
        which = (torch.ones_like(verdict) if among is None else among).nonzero(as_tuple=True)[0]
        if len(which):
            x, labels = self.x[which], self.labels[which]
            ball = Ball(x, radii(epsilon, x), self.p)
            summit = yield from method.search(ball, Untargeted(labels), self.streams(run, which))
            verdict[which] = ((yield from look(summit.images)).argmax(1) != labels).to(verdict)
        return verdict

    def noise(self, run: int, epsilon: float) -> Procedure[Tensor]:
        """Which images (B,) some draw of noise fools; those that one fools are shown no more."""
        left = torch.arange(len(self.x), device=self.x.device)
        verdict = torch.zeros_like(self.labels, dtype=torch.bool)
        streams = self.streams(run, left)
        for _ in range(NOISES):
            if not len(left):
                break
            x = self.x[left]
            noisy = Ball(x, radii(epsilon, x), self.p).noise([streams[i] for i in left.tolist()])
            found = ((yield from look(noisy)).argmax(1) != self.labels[left]).to(verdict)
            verdict[left[found]] = True
            left = left[~found]
        return verdict

    @property
    def reach(self) -> float:
        """The radius at which every ball holds uniform gray, from which nothing can be told."""
        return 0.5 if self.p == math.inf else 0.5 * self.x[0].numel() ** (1 / self.p)

    def ladder(self, run: int, epsilon: float) -> Procedure[list[Rung]]:
        """Independent runs of the white-box attack at rising radii, at least two, until more than
        half the images are fooled.

        They go up from `epsilon` by doubling, but not beyond `reach`, or down by halving, until
        fewer than half are fooled.
        """
        rungs = [(epsilon, (yield from self.fooled(run, white_box(self.p, self.steps), epsilon)))]
        factor = 2.0 if self._few(rungs[0]) and 2 * epsilon <= self.reach else 0.5
        while len(rungs) < RUNGS and factor * rungs[-1][0] <= max(epsilon, self.reach):
            radius = factor * rungs[-1][0]
            rungs.append(
                (
                    radius,
                    (
                        yield from self.fooled(
                            run + len(rungs), white_box(self.p, self.steps), radius
                        )
                    ),
                )
            )
            if self._few(rungs[-1]) == (factor < 1):
                break
        return sorted(rungs, key=lambda rung: rung[0])

    def _few(self, rung: Rung) -> bool:
        return count(rung[1]) < HALF * len(self.x)


def strength(arena: Arena, largest: float, first_run: int) -> Procedure[list[Check]]:
    """All checks of attacks in one norm; `largest` is the threat model's radius, above 0.

    Most are made at that of some radii about `largest` at which the white-box attack fools about
    half the images: where it fools all or none, nothing could be told.
    """
    name, run = NORMS[arena.p], first_run + RUNGS
    rungs = yield from arena.ladder(first_run, largest)
    epsilon, fooled = min(rungs, key=lambda rung: abs(count(rung[1]) / len(arena.x) - HALF))
    where = condition(arena.p, epsilon)
    single = yield from arena.fooled(run, fgsm(), epsilon)
    checks = [_iterative(name, where, single, fooled), _monotone(name, rungs)]
    checks.append((yield from _huge(arena, name, run + 1)))
    trials = len(arena.x)
    again: list[tuple[str, str, Method, str, float]] = [
        (
            "doubled-steps",
            "Twice the steps",
            white_box(arena.p, 2 * arena.steps),
            CONVERGED,
            CHANGE,
        ),
        (
            "doubled-restarts",
            "A second start",
            white_box(arena.p, arena.steps),
            CONVERGED,
            CHANGE,
        ),
        (
            "other-loss",
            "The margin loss",
            white_box(arena.p, arena.steps, MARGIN),
            "Croce & Hein 2020, section 4",
            CHANGE,
        ),
    ]
    for number, (title, finder, method, source, tolerated) in enumerate(again):
        new = yield from arena.fooled(run + 3 + number, method, epsilon, ~fooled)
        checks.append(
            gap(f"{title}-{name}", f"{finder} at {where}", count(new), trials, source, tolerated)
        )
    noisy = yield from arena.noise(run + 6, epsilon)
    blind = yield from arena.fooled(run + 7, square(QUERIES), epsilon, ~fooled | noisy)
    finder = f"Square with {QUERIES} queries at {where}"
    checks.append(
        gap(f"black-box-{name}", finder, count(blind & ~fooled), trials, f"{SOUND}; {MASKED}")
    )
    checks.append(_noise(name, where, noisy, fooled, blind))
    return checks


def _iterative(name: str, where: str, single: Tensor, fooled: Tensor) -> Check:
    """One step must not fool significantly more images than many (exact test of those on which they
    differ, at `LEVEL`).
    """
    only_single, only_many = count(single & ~fooled), count(fooled & ~single)
    p = dominates(only_single, only_many)
    evidence = (
        f"At {where} a single step alone fools {only_single} of {len(fooled)} images, "
        f"the iterative attack alone {only_many} ({probability(p)})."
    )
    numbers = {
        "only_single": only_single,
        "only_iterative": only_many,
        "trials": len(fooled),
        "p_value": p,
    }
    return check(f"iterative-{name}", p <= LEVEL, evidence, f"{SOUND}; {MASKED}", **numbers)


def _monotone(name: str, rungs: list[Rung]) -> Check:
    """No radius may fool significantly more images than twice the radius: exact tests, at `LEVEL`
    over their number.
    """
    pairs = []
    for (smaller, by_smaller), (larger, by_larger) in pairwise(rungs):
        lost, won = count(by_smaller & ~by_larger), count(by_larger & ~by_smaller)
        pairs.append((dominates(lost, won), lost, smaller, larger))
    p, lost, smaller, larger = min(pairs)
    rates = ", ".join(f"{count(rows)} at {radius(epsilon)}" for epsilon, rows in rungs)
    evidence = (
        f"Independent runs fool, of {len(rungs[0][1])} images, {rates}; "
        f"{lost} are fooled at {radius(smaller)} and not at {radius(larger)} ({probability(p)})."
    )
    return check(
        f"monotone-{name}",
        p <= LEVEL / len(pairs),
        evidence,
        f"{SOUND}; {MASKED}",
        lost=lost,
        pairs=len(pairs),
        p_value=p,
    )


def _huge(arena: Arena, name: str, run: int) -> Procedure[Check]:
    """Where the ball reaches uniform gray, accuracy must not exceed chance.

    Images that withstand a radius of 0.5 in Linf, or as much in the other norms, are tried with 1,
    the whole box. It starts at the images themselves, lest the random start do the work. Exact test
    against one in `classes` at `LEVEL`.
    """
    left = torch.ones_like(arena.labels, dtype=torch.bool)
    for number, epsilon in enumerate((arena.reach, 2 * arena.reach)):
        left &= ~(
            yield from arena.fooled(
                run + number,
                white_box(arena.p, arena.steps, random_start=False),
                epsilon,
                left,
            )
        )
    classes = (yield from look(arena.x[:1])).shape[1]
    withstood, trials = count(left), len(left)
    p = excess(withstood, trials, 1 / classes)
    evidence = (
        f"At epsilon {arena.reach:.4g} and {2 * arena.reach:.4g} {withstood} of {trials} "
        f"images withstand; "
        f"chance is one in {classes} ({probability(p)})."
    )
    return check(
        f"huge-epsilon-{name}",
        p <= LEVEL,
        evidence,
        f"{SOUND}; {MASKED}",
        withstood=withstood,
        trials=trials,
        p_value=p,
    )


def _noise(name: str, where: str, noisy: Tensor, fooled: Tensor, blind: Tensor) -> Check:
    """Images that noise fools and an attack does not, white-box or black-box: the worse of two
    tests, each at half of `LEVEL`.
    """
    trials = len(noisy)
    white, black = count(noisy & ~fooled), count(noisy & ~blind)
    p = min(1.0, 2 * excess(max(white, black), trials))
    evidence = (
        f"{NOISES} draws of noise at {where} fool {count(noisy)} of {trials} images, of them "
        f"{white} that the white-box "
        f"attack does not and {black} that Square does not ({probability(p)})."
    )
    numbers = {
        "noise": count(noisy),
        "not_white_box": white,
        "not_black_box": black,
        "trials": trials,
        "p_value": p,
    }
    return check(
        f"noise-{name}",
        p <= LEVEL,
        evidence,
        f"Carlini et al. 2019, section 3.3; {MASKED}",
        **numbers,
    )


def not_attacked(p: float) -> list[Check]:
    """The checks of one norm where no image is there to be attacked."""
    return [
        skipped(f"{title}-{NORMS[p]}", "No image is classified correctly.", SOUND)
        for title in CHECKS
    ]
