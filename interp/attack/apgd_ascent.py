"""APGD, the ascent that sets its own step sizes.

Croce & Hein 2020 (algorithm 1) for Linf and L2, Croce & Hein 2021 ("Mind the box") for L1. Nothing
is left to tune: the loss is an objective (`cross_entropy`, `dlr`; for targets `target_likelihood`,
`dlr_targeted`), the budget a number of steps.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from interp.active_rows import ActiveRows
from interp.ascent import AscentResult, Done
from interp.attack.ball import Ball
from interp.attack.unanswered import spared
from interp.objective import Objective
from interp.probe import Answer, Probe, Procedure, StepProgress
from interp.seeds import Generators
from interp.step import Step, sign, sparse, unit

MOMENTUM = 0.75  # how much of a step is new (alpha in the paper); the rest repeats the step before
RHO = 0.75  # the share of steps that must raise the score, or steps are too long
SHARE = 0.2  # L1: of the pixels, how many move at first
# L1: the best perturbation must have fewer pixels than this share of what it had, or steps are too
# long
THINNER = 0.95
# L1: what divides a step size, and the pixels of the best perturbation to give those that move
REDUCTION = 1.5
SHORTEST = 0.1  # L1: the least step size, in radii


def checkpoints(steps: int) -> list[int]:
    """List after which steps the step size is reconsidered (Croce & Hein 2020, section 3.2).

    These are ceil(p_j steps) for p_1 = 0.22 and p_(j+1) = p_j + max(p_j - p_(j-1) - 0.03, 0.06).

    Args:
        steps: of the whole ascent, at least 1.

    Returns:
        Numbers of steps in rising order, all below `steps`.
    """
    percent, gap, found = 22, 22, list[int]()
    while percent < 100:
        found.append(-(-percent * steps // 100))
        gap = max(gap - 3, 6)
        percent += gap
    return [
        w for w in dict.fromkeys(found) if w < steps
    ]  # after the last there is nothing left to decide


@dataclass(frozen=True, eq=False)
class _Iterates:
    """Where the active rows are: one tensor a field, one entry a row."""

    z: Tensor  # (A, C, H, W), as are the next four
    before: Tensor  # the z before
    grad: Tensor
    best: Tensor
    best_grad: Tensor
    score: Tensor  # (A,), as are the next three
    best_score: Tensor
    checked_score: Tensor  # the best at the last checkpoint
    rises: Tensor  # steps since the last checkpoint that raised the score
    size: Tensor  # (A, 1, 1, 1) eta, as are the next two
    share: Tensor  # L1: of the pixels, how many move
    spread: Tensor  # L1: pixels that the best perturbation had at the last checkpoint
    shortened: Tensor  # (A,) bool, at the last checkpoint

    def take(self, index: Tensor) -> "_Iterates":
        return _Iterates(*(getattr(self, f.name)[index] for f in fields(self)))

    def at_best(self, chosen: Tensor) -> "_Iterates":
        """With the chosen rows (A,) back at their best points."""
        pixels = chosen.view(-1, 1, 1, 1)
        z, grad = (
            torch.where(pixels, self.best, self.z),
            torch.where(pixels, self.best_grad, self.grad),
        )
        return replace(self, z=z, grad=grad, score=torch.where(chosen, self.best_score, self.score))


def _start(ball: Ball, z: Tensor, sparse_start: bool) -> _Iterates:
    nothing, lowest = torch.zeros_like(z), z.new_full((len(z),), -torch.inf)
    size = ball.eps * (1 if ball.p == 1 else 2)
    share, spread = torch.full_like(size, SHARE), torch.full_like(size, z[0].numel())
    if sparse_start:
        spread = _spread(z - ball.x).to(size)
        share = spread / z[0].numel() / REDUCTION
    count = torch.zeros(len(z), dtype=torch.int64, device=z.device)
    return _Iterates(
        z,
        z,
        nothing,
        z,
        nothing,
        lowest,
        lowest,
        lowest,
        count,
        size,
        share,
        spread,
        count.bool(),
    )


def _step(rows: _Iterates, ball: Ball, first: bool) -> _Iterates:
    """One step from z along its gradient; with momentum, except in L1 and from the start."""
    ahead = ball.project(rows.z + _rule(rows, ball.p)(rows.z)(rows.z, rows.grad))
    if not first and ball.p != 1:
        ahead = ball.project(
            rows.z + MOMENTUM * (ahead - rows.z) + (1 - MOMENTUM) * (rows.z - rows.before)
        )
    return replace(rows, z=ahead, before=rows.z)


def _rule(rows: _Iterates, p: float) -> Step:
    if p == 1:
        return sparse(rows.size, rows.share)
    return sign(rows.size) if p == torch.inf else unit(rows.size)


def _update(rows: _Iterates, answer: Answer) -> _Iterates:
    """Take in score and gradient of z."""
    assert answer.score is not None
    score = answer.score.to(rows.z)
    grad = rows.grad if answer.grad is None else answer.grad.to(rows.z)
    better = score > rows.best_score
    pixels = better.view(-1, 1, 1, 1)
    return replace(
        rows,
        grad=grad,
        score=score,
        rises=rows.rises + (score > rows.score),
        best=torch.where(pixels, rows.z, rows.best),
        best_grad=torch.where(pixels, grad, rows.best_grad),
        best_score=torch.where(better, score, rows.best_score),
    )


def _halve_where_stuck(rows: _Iterates, steps: int) -> _Iterates:
    """Conditions 1 and 2 of the paper for the `steps` since the last checkpoint: where one holds,
    half the size, from the best on.
    """
    stuck = ~rows.shortened & (rows.best_score == rows.checked_score)
    short = (rows.rises < RHO * steps) | stuck
    size = torch.where(short.view(-1, 1, 1, 1), rows.size / 2, rows.size)
    checked = replace(
        rows,
        size=size,
        shortened=short,
        checked_score=rows.best_score,
        rises=torch.zeros_like(rows.rises),
    )
    return checked.at_best(short)


def _make_sparser(rows: _Iterates, ball: Ball) -> _Iterates:
    """L1: move fewer pixels than the best perturbation has. Where it got thinner, long steps from
    the best on, else shorter ones.
    """
    spread = _spread(rows.best - ball.x).to(rows.spread)
    thinner = spread < THINNER * rows.spread
    size = torch.where(thinner, ball.eps, torch.maximum(rows.size / REDUCTION, SHORTEST * ball.eps))
    return replace(
        rows, size=size, share=spread / rows.best[0].numel() / REDUCTION, spread=spread
    ).at_best(thinner.flatten())


def _spread(delta: Tensor) -> Tensor:
    """How many pixels of each row differ, (A, 1, 1, 1)."""
    dust = (
        8 * torch.finfo(delta.dtype).eps
    )  # where pixels tie with the cut, rounding decides which stay, ever so little moved
    return (delta.abs() > dust).sum((1, 2, 3), keepdim=True)


class _ApgdState:
    """An APGD under way: where the active rows are, and what those that left have found."""

    def __init__(
        self,
        ball: Ball,
        objective: Objective,
        steps: int,
        generators: Generators,
        start: Tensor | None,
    ) -> None:
        self.ball, self.objective, self.steps = ball, objective, steps
        self.rows = (
            _start(ball, ball.start(generators), False)
            if start is None
            else _start(ball, ball.project(start), ball.p == 1)
        )
        self.active = ActiveRows(len(ball.x), ball.x.device)
        self.active_ball, self.active_objective = ball, objective
        self.found = self.rows.z.clone()
        self.checkpoints, self.last_checkpoint = checkpoints(steps), 0
        if ball.p == 1:
            every = max(steps // 25, 1)
            self.checkpoints = list(range(every, steps, every))

    def preview(self) -> Tensor:
        return self.ball.image(self.active.merge(self.found, self.rows.z)).detach()

    def probe(self, k: int, logits: bool) -> Probe:
        """Ask for the score of x^(k) and, unless it is the last, the gradient."""
        images = self.active_ball.image(self.rows.z).detach()
        if k == self.steps:
            return Probe(
                images,
                self.active_objective,
                gradient=False,
                logits=logits,
                rows=self.active.index,
            )
        self.active.gradients += len(images)
        return Probe(
            images,
            self.active_objective,
            logits=logits,
            progress=StepProgress(k + 1, self.steps, self.preview),
            rows=self.active.index,
        )

    def update(self, answer: Answer, done: Done | None) -> None:
        """Take in what x^(k) is like; rows that are done leave with it."""
        self.rows = rows = _update(self.rows, answer)
        if answer.grad is not None:
            self.active.note_gradients(rows.grad)
        if done is None:
            return
        arrived = done(answer, self.active.index)
        if arrived.any():
            self.found[self.active.index[arrived]] = rows.z[arrived]
            self.rows = rows.take(~arrived)
            self.active.leave(arrived)
            self.active_ball = self.active.select(self.ball)
            self.active_objective = self.active.select(self.objective)

    def adapt_step_size(self, k: int) -> None:
        """Reconsider the step sizes after step k, if that is a checkpoint."""
        if k in self.checkpoints:
            self.rows = (
                _make_sparser(self.rows, self.active_ball)
                if self.ball.p == 1
                else _halve_where_stuck(self.rows, k - self.last_checkpoint)
            )
            self.last_checkpoint = k

    def result(self) -> AscentResult:
        images = self.ball.image(self.active.merge(self.found, self.rows.best)).detach()
        active = self.active
        return AscentResult(images, active.moved, active.start_logits, active.gradients)


def apgd_ascent(
    ball: Ball,
    objective: Objective,
    steps: int,
    rows: Generators,
    done: Done | None = None,
    logits: bool = True,
    start: Tensor | None = None,
) -> Procedure[AscentResult]:
    """Raise `objective` within `ball` by at most `steps` gradients a row, at least 1, step sizes
    set by the rows' own progress.

    A row leaves with the first point that is `done`, the start included; the others return their
    highest score. The L2 projection is the exact one, whatever the ball says. Where the listing in
    the paper sends x^(k + 1) back to the best point at a checkpoint k, this sends x^(k), which the
    conditions are about, as the authors' own program does; and a rise is a score above that of the
    point where the step began.

    Args:
        ball: where to search; `random_start` to begin at a random point.
        objective: what is raised, one score a row.
        steps: gradients a row, at least 1.
        rows: one generator a row, for random starts.
        done: tells which rows have arrived; None: none ever has.
        logits: whether `done` reads logits.
        start: points (B, C, H, W) to begin at, brought into the ball; None: where the ball says.
            For L1 the first steps are sparser than these are.

    Returns:
        A procedure whose result is where each row ended.
    """
    state = _ApgdState(replace(ball, exact=True), objective, steps, rows, start)
    for k in range(steps + 1):
        if k:
            state.rows = _step(state.rows, state.active_ball, first=k == 1)
        answer = yield state.probe(k, logits=logits and done is not None)
        state.update(answer, done)
        if k == 0:
            state.active.start_logits = answer.logits
            state.rows = replace(
                state.rows,
                rises=torch.zeros_like(state.rows.rises),
                checked_score=state.rows.best_score,
            )
        if not len(state.active):
            break
        state.adapt_step_size(k)
    return state.result()


def apgd_decreasing_radii(
    ball: Ball,
    objective: Objective,
    steps: int,
    rows: Generators,
    done: Done | None = None,
    logits: bool = True,
) -> Procedure[AscentResult]:
    """APGD that begins in a ball of three times the radius and goes on in one of twice and one of
    once the radius.

    Croce & Hein 2021, section 4.2. Each of the first two stages has three tenths of the steps, and
    the next begins at its best point, brought into its own ball. Rows leave in the last stage only,
    as no other asks about points of the ball itself. The arguments are those of `apgd_ascent`.

    Args:
        ball: where to search in the end.
        objective: what is raised, one score a row.
        steps: gradients a row of all stages, at least 1.
        rows: one generator a row.
        done: tells which rows have arrived; None: none ever has.
        logits: whether `done` reads logits.

    Returns:
        A procedure whose result is where each row ended.
    """
    early = min(
        -(-3 * steps // 10), (steps - 1) // 2
    )  # which leaves the last stage one step at least
    start, moved, gradients = None, torch.zeros_like(ball.x[:, 0, 0, 0], dtype=torch.bool), 0
    for radii, count in ((3, early), (2, early), (1, steps - 2 * early)):
        if not count:
            continue
        last = radii == 1
        larger = replace(ball, epsilon=radii * ball.eps, eight_bit=ball.eight_bit and last)
        stage = apgd_ascent(larger, objective, count, rows, done if last else None, logits, start)
        result = yield from (stage if last else spared(stage))
        start, moved, gradients = result.images, moved | result.moved, gradients + result.gradients
    return replace(result, moved=moved, start_logits=None, gradients=gradients)
