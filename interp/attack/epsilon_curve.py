"""The whole curve of accuracy over epsilon, and every image's minimal epsilon, in one procedure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interp.ascent import Ascent, AscentResult, Done, ascend
from interp.attack.ball import LEVELS, Ball, radii
from interp.attack.early_stopping import EarlyStopping, distance_to_goal
from interp.attack.evaluate import (
    NOISE,
    AdversarialExamples,
    RowSeeds,
    UnitTarget,
    attack_problem,
    evaluate,
    evaluation_probe,
)
from interp.attack.fab_nearer import fab_nearer
from interp.attack.goal import CROSS_ENTROPY, Choice, Goal, Loss
from interp.attack.pgd import OVERSHOOT, steepest_step
from interp.attack.unanswered import Failure, Unanswered
from interp.probe import Procedure, on_rows
from interp.seeds import Generators

RECENT = 0.3  # the share of the steps over which a row's progress is measured
SETTLED = 0.4  # no row is given up before it has taken this share of the steps


@dataclass(frozen=True, eq=False)
class EpsilonCurve:
    """How many images withstand each epsilon, and the least at which each one was found not to.

    Attributes:
        attacked: the images found at the rows' minimal epsilons and their evaluation; for rows
            without one, the image at the last epsilon that came nearest to fooling. Its control is
            noise as large as each row's minimal epsilon, or the last where there is none; `fixed`
            is of the last epsilon.
        minimal: (B,) pixel units; 0 where the clean image is at its goal, infinite where nothing
            found is.
        epsilons: in rising order.
        withstood: (E,) int64, of all B images those whose minimal epsilon is larger. It never
            rises.
        answered: (E,) int64, the images that `withstood` counts of: those without the ones on which
            the network's answers were no numbers at that epsilon or at a smaller one.
        failed_from: (B,) pixel units, the epsilon at which that was found of a row; infinite where
            it was not, or where an image was found all the same.
    """

    attacked: AdversarialExamples
    minimal: Tensor
    epsilons: tuple[float, ...]
    withstood: Tensor
    answered: Tensor
    failed_from: Tensor


def epsilon_curve(
    x: Tensor,
    labels: Tensor | None,
    epsilons: Sequence[float],
    p: float = math.inf,
    *,
    steps: int = 10,
    bisections: int = 0,
    fab_steps: int = 0,
    random_start: bool = False,
    loss: Loss = CROSS_ENTROPY,
    targets: Tensor | Choice | None = None,
    unit: UnitTarget | None = None,
    seed: int = 0,
    first_row: int = 0,
    seeds: Sequence[tuple[int, int]] | None = None,
    eight_bit: bool = False,
    noise_control: bool = False,
) -> Procedure[EpsilonCurve]:
    """PGD at one epsilon after the other on the images that withstood the last, each from its best
    image there.

    That image is drawn out to the new radius, which often suffices. A row also leaves an epsilon
    early, except in L1, when its progress shows that it will not get there: the curve takes a
    fraction of the gradients that PGD takes at every epsilon, from the clean image and to the last
    step, and as a rule finds as much or more. An image found may be nearer than epsilon: then its
    own norm counts.

    Args:
        x: images (B, C, H, W) in [0, 1].
        labels: (B,) int64, the true classes; None: the network's own predictions.
        epsilons: radii in rising order, at least one, each at least 0, in pixel units.
        p: the norm of the balls, `math.inf`, 2 or 1.
        steps: gradient steps an epsilon, at least 1, of 2.5 epsilon / steps; after the first
            epsilon on average, falling evenly.
        bisections: after that, halve the gap between each row's minimal epsilon and the radius
            below it that it withstood so often, from its image pulled into the smaller ball.
        fab_steps: at last, gradients of FAB-T towards each of the 9 most probable wrong classes,
            for every image; where that finds a nearer one, it is kept. 0: none. Goals of classes
            alone.
        random_start: begin at a random point of the first ball.
        loss: what is raised.
        targets, unit, seed, first_row, seeds, eight_bit, noise_control: as in
            `interp.attack.base.attack`.

    Returns:
        A procedure whose result is the curve.
    """
    x = (x * LEVELS).round() / LEVELS if eight_bit else x
    randomness = RowSeeds(seed, first_row, seeds)
    problem = yield from attack_problem(x, labels, targets, unit, randomness)
    assert problem.clean is not None
    last = Ball(x, radii(epsilons[-1], x), p, eight_bit=eight_bit)
    search = _CurveSearch(
        last,
        problem.goal,
        problem.goal.reached(problem.clean),
        problem.unanswered,
        steps,
        loss,
        randomness.generators(len(x)),
    )
    yield from search.rise(epsilons, random_start)
    yield from search.bisect(epsilons, bisections)
    yield from search.finish(fab_steps)
    noise = randomness.generators(len(x), NOISE) if noise_control else None
    attacked = yield from evaluate(
        problem, last, search.images, search.result, noise, search.minimal_balls(last)
    )
    stuck = sum(
        bool(replace(last, epsilon=radii(e, x)).fixed.all())
        for e in epsilons
        if 0 < e < epsilons[-1]
    )
    if stuck:
        warning = (
            f"{stuck} of the epsilons are under one 8-bit level (1/255), which leaves the "
            f"images no freedom"
        )
        attacked = replace(attacked, warnings=(*attacked.warnings, warning))
    minimal = search.minimal.masked_fill(~attacked.succeeded, torch.inf)
    radius = torch.tensor(epsilons, dtype=torch.float64, device=x.device)[:, None]
    failed_from = search.failed_from.masked_fill(attacked.failure == Failure.NONE, torch.inf)
    # what no search met may still have come up when the images found were evaluated
    failed_from = torch.where(
        (attacked.failure != Failure.NONE) & failed_from.isinf(), epsilons[-1], failed_from
    )
    unanswered = failed_from <= radius
    return EpsilonCurve(
        attacked,
        minimal,
        tuple(epsilons),
        ((minimal > radius.to(minimal)) & ~unanswered).sum(1),
        len(x) - unanswered.sum(1),
        failed_from,
    )


class _CurveSearch:
    """What is known of every row so far."""

    def __init__(
        self,
        ball: Ball,
        goal: Goal,
        there: Tensor,
        unanswered: Unanswered,
        steps: int,
        loss: Loss,
        rows: Generators,
    ) -> None:
        self.ball, self.goal, self.steps, self.loss, self.rows = ball, goal, steps, loss, rows
        self.unanswered = unanswered
        self.images = ball.x.clone()
        self.minimal = torch.full_like(ball.x[:, 0, 0, 0], torch.inf).masked_fill(there, 0.0)
        self.failed_from = torch.full_like(self.minimal, torch.inf, dtype=torch.float64)
        self.failed_from[unanswered.rows] = 0.0
        self.attacked = ~there & ~unanswered.rows
        self.moved = torch.zeros_like(there)
        self.gradients = 0

    @property
    def result(self) -> AscentResult:
        return AscentResult(self.images, self.moved[self.attacked], None, self.gradients)

    def minimal_balls(self, last: Ball) -> Ball:
        """The balls of the rows' minimal epsilons, or of the last epsilon."""
        return replace(
            last,
            epsilon=torch.where(
                self.minimal.isinf().view_as(last.eps), last.eps, self.minimal.view_as(last.eps)
            ),
        )

    def rise(self, epsilons: Sequence[float], random_start: bool) -> Procedure[None]:
        """One epsilon after the other, on the rows that withstood those before."""
        before = 0.0
        for epsilon in epsilons:
            left = self.minimal.isinf() & self.failed_from.isinf()
            (todo,) = left.nonzero(as_tuple=True)
            ball = self._around(todo, radii(epsilon, self.ball.x[todo]))
            if not len(todo) or ball.fixed.all():
                continue
            start = ball.x + (self.images[todo] - ball.x) * (epsilon / before if before else 1.0)
            if random_start and not before:
                start = replace(ball, random_start=True).start(
                    [self.rows[i] for i in todo.tolist()]
                )
            # at the first epsilon, what PGD finds there is found
            self.images[todo], there = yield from self._climb(
                ball, start, before > 0, self.unanswered
            )
            failed = todo[self.unanswered.rows[todo] & ~there]
            self.failed_from[failed] = epsilon
            before = epsilon

    def bisect(self, epsilons: Sequence[float], times: int) -> Procedure[None]:
        """Search between the minimal epsilons and the next that were withstood."""
        grid = self.minimal.new_tensor([0.0, *epsilons])
        below = grid[torch.searchsorted(grid, self.minimal).sub(1).clamp_min(0)]
        least = (
            1.0001 / LEVELS if self.ball.eight_bit and self.ball.p != 2 else 0.0
        )  # closer than that are no 8-bit images
        for _ in range(times):
            (todo,) = (self.minimal.isfinite() & (self.minimal - below > least)).nonzero(
                as_tuple=True
            )
            if not len(todo):
                break
            ball = self._around(todo, ((self.minimal + below)[todo] / 2).view(-1, 1, 1, 1))
            # what they are fooled at is known, whatever becomes of these rows
            apart = Unanswered(len(self.images), self.images.device)
            images, there = yield from self._climb(ball, self.images[todo], True, apart)
            self.images[todo[there]] = images[there]
            below[todo[~there]] = ball.eps.flatten()[~there]

    def finish(self, fab_steps: int) -> Procedure[None]:
        """Keep what FAB finds nearer, within the last epsilon."""
        (todo,) = ((self.minimal > 0) & self.failed_from.isinf()).nonzero(as_tuple=True)
        if not fab_steps or not len(todo):
            return
        ball = self._around(todo, self.ball.epsilon[todo])
        search = fab_nearer(ball, self.goal.take(todo), self.minimal[todo], fab_steps)
        # what was found of rows is known, whatever becomes of them here
        apart = Unanswered(len(self.images), self.images.device)
        found = yield from apart.watch(on_rows(search, todo))
        self.gradients += found.gradients
        nearer = found.distance.isfinite()
        self.images[todo[nearer]] = found.images[nearer]
        self.minimal[todo[nearer]] = found.distance[nearer]

    def _around(self, todo: Tensor, epsilon: Tensor) -> Ball:
        return replace(self.ball, x=self.ball.x[todo], epsilon=epsilon, rows=todo)

    def _climb(
        self,
        ball: Ball,
        start: Tensor,
        falling: bool,
        unanswered: Unanswered,
    ) -> Procedure[tuple[Tensor, Tensor]]:
        """PGD from near `start`: images, and which are at their goal, whose minimal epsilons are
        noted; and in `unanswered` the rows that have no answer.
        """
        assert ball.rows is not None
        todo, goal = ball.rows, self.goal.take(ball.rows)
        problem = Ascent(
            WarmStart(ball, start),
            goal.objective(self.loss),
            steepest_step(ball, OVERSHOOT * ball.eps / self.steps, self.steps, falling=falling),
            self.steps,
            done=lambda answer, chosen: goal.take(chosen).reached(answer),
            logits=goal.logits,
            stop_when_done=True,
            # in L1 the last steps, of few pixels, gain what those before do not foretell
            give_up=None if ball.p == 1 else _give_up(goal, len(start), self.steps),
            keep_best=True,
        )
        ascent = ascend(problem, [self.rows[i] for i in todo.tolist()])
        found = yield from unanswered.watch(on_rows(ascent, todo))
        self.gradients += found.gradients
        self.moved[todo] |= found.moved
        there = goal.reached((yield evaluation_probe(found.images, goal)))
        size = torch.minimum(ball.distance(found.images), ball.eps.flatten())
        self.minimal[todo[there]] = size[there]
        return found.images, there


@dataclass(frozen=True, eq=False)
class WarmStart:
    """A ball that is searched from given points on.

    Attributes:
        ball: where the search stays.
        points: (B, C, H, W), brought into the ball.
    """

    ball: Ball
    points: Tensor

    def start(self, rows: Generators) -> Tensor:
        """The given points."""
        return self.ball.project(self.points)

    def image(self, z: Tensor) -> Tensor:
        """As of the ball."""
        return self.ball.image(z)

    def project(self, z: Tensor) -> Tensor:
        """As of the ball."""
        return self.ball.project(z)


def _give_up(goal: Goal, count: int, steps: int) -> Done:
    """Tells which rows will not come to their goal in the steps left, by far; the image after the
    last step counts as one more.
    """
    window = math.ceil(RECENT * steps)
    stopping = EarlyStopping(count, steps + 1, window, settled=SETTLED * steps)
    return lambda answer, rows: stopping.update(distance_to_goal(goal.take(rows), answer), rows)
