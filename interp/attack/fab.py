"""FAB, which follows the decision boundary to the point nearest to the image, in its targeted form.

Croce & Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary attack".
It knows no epsilon: in a ball, the rows whose point found is near enough leave.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interp.active_rows import ActiveRows
from interp.ascent import AscentResult
from interp.attack.ball import Ball
from interp.attack.base import Method, method_label
from interp.attack.geometry.hyperplane import shortest_move
from interp.attack.goal import MARGIN, Goal, Loss, Untargeted
from interp.attack.losses import margin, target_lead
from interp.attack.search import Search
from interp.attack.target_classes import TargetClasses, choose_target_classes, each_target_class
from interp.attack.unanswered import finite_rows
from interp.norms import norm
from interp.objective import Objective
from interp.probe import Answer, Probe, Procedure, StepProgress

# the most that a step leans towards the image's own projection (alpha_max in the paper)
ALPHA = 0.1
ETA = 1.05  # how far past the plane a step goes
BETA = 0.9  # what is left of a perturbation that did reach the goal
SHORTEST = 1e-8  # the least length of a move, so that two of none weigh the same


TARGET_LEAD = Loss("target-lead", margin, target_lead)


def fab(steps: int = 100, target_classes: int = 9) -> Method:
    """Make FAB-T, the fast adaptive boundary attack in its targeted form.

    Args:
        steps: gradients a row and target class, at least 1.
        target_classes: how many of the most probable wrong classes are tried, at least 1; all if
            there are fewer. Of a targeted attack the one class is the target.
    """
    return Method(
        fab_search(steps, target_classes),
        name="fab-t",
        settings={"steps": steps, "target_classes": target_classes},
        label=method_label("FAB-T", steps),
        attacks_units=False,
    )


def fab_search(steps: int, target_classes: int) -> Search:
    """Search along the boundaries to the most probable wrong classes in turn; any
    wrong class is a success.

    Args:
        steps: gradients a row and start, at least 1.
        target_classes: wrong classes that are tried, at least 1.
    """
    return each_target_class(
        lambda ball, goal, number, _: fab_towards(ball, goal, number, steps), target_classes
    )


class _FabState:
    """A FAB under way towards one target class a row: where the active rows are, and the nearest
    point at the goal of every row.
    """

    def __init__(self, ball: Ball, goal: Goal, ahead: Objective, steps: int) -> None:
        self.ball, self.goal, self.ahead, self.steps = ball, goal, ahead, steps
        self.active = ActiveRows(len(ball.x), ball.x.device)
        self.active_ball, self.active_goal, self.active_ahead = ball, goal, ahead
        self.z = ball.x
        self.best = ball.x.clone()
        self.distance = torch.full_like(ball.x[:, 0, 0, 0], torch.inf)

    def preview(self) -> Tensor:
        return self.ball.image(self.ball.project(self.best))

    def probe(self, k: int) -> Probe:
        """Ask where z^(k) is and, unless it is the last, which way the boundary lies."""
        if k == self.steps:
            return Probe(
                self.z,
                self.active_ahead,
                gradient=False,
                logits=self.goal.logits,
                rows=self.active.index,
                spare=self.outside(),
            )
        self.active.gradients += len(self.z)
        return Probe(
            self.z,
            self.active_ahead,
            logits=self.goal.logits,
            progress=StepProgress(k + 1, self.steps, self.preview),
            rows=self.active.index,
            spare=self.outside(),
        )

    def outside(self) -> Tensor:
        """Which of the active rows (A,) are outside their balls, where the walk may end for want of
        an answer.
        """
        distance = norm(self.z - self.active_ball.x, self.ball.p).flatten()
        return distance > self.active_ball.eps.flatten()

    def keep_nearest(self, answer: Answer) -> tuple[Tensor, Tensor]:
        """Keep what is at the goal and nearer than before; returns which rows (A,) are at the goal,
        and which may be inside the ball.
        """
        there = self.active_goal.reached(answer)
        distance = norm(self.z - self.active_ball.x, self.ball.p).flatten()
        nearer = there & (distance < self.distance[self.active.index])
        if nearer.any():
            rows = self.active.index[nearer]
            self.best[rows], self.distance[rows] = self.z[nearer], distance[nearer]
        return there, nearer & (distance <= self.active_ball.eps.flatten())

    def leave(self, gone: Tensor) -> None:
        """Let rows go, (A,) bool."""
        self.active.leave(gone)
        self.z = self.z[~gone]
        self.active_ball = self.active.select(self.ball)
        self.active_goal = self.active.select(self.goal)
        self.active_ahead = self.active.select(self.ahead)

    def step(self, score: Tensor, grad: Tensor, there: Tensor) -> None:
        """From z, or from a step back where z is at the goal, to the boundary as it looks from z,
        leaning towards the image.
        """
        self.active.note_gradients(grad)
        x = self.active_ball.x.flatten(1)
        w, height = _scaled(grad.flatten(1), score[:, None])
        z = self.z.flatten(1)
        back = torch.where(there[:, None], torch.lerp(x, z, BETA), z)
        points = torch.stack([back, x])  # (2, A, n)
        rise = -height - ((points - z) * w).sum(-1, keepdim=True)  # (2, A, 1)
        move = shortest_move(points, w, rise, self.ball.p)
        from_z, from_x = torch.linalg.vector_norm(
            move, self.ball.p, dim=-1, keepdim=True
        ).clamp_min(SHORTEST)
        ahead = points + ETA * move
        self.z = (
            torch.lerp(ahead[0], ahead[1], (from_z / (from_z + from_x)).clamp_max(ALPHA))
            .clamp(0, 1)
            .view_as(self.z)
        )


def _scaled(w: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """A plane's normal (A, n) and height (A, 1), both times the power of two that brings the
    normal's largest entry near 1: the same plane to the last bit, whatever the scale of the logits.
    """
    exponent = w.abs().amax(1, keepdim=True).frexp()[1].clamp(-126, 126)
    scale = torch.ldexp(torch.ones_like(score), -exponent)
    return w * scale, score * scale


def _walk_boundary(
    ball: Ball, goal: TargetClasses, number: int, steps: int
) -> Procedure[_FabState]:
    # of a targeted goal every other class is to be left behind, not the label alone
    untargeted = isinstance(goal.goal, Untargeted)
    ahead = goal.towards(number, TARGET_LEAD) if untargeted else goal.objective(MARGIN)
    state = _FabState(ball, goal, ahead, steps)
    for k in range(steps + 1):
        answer = yield state.probe(k)
        if k == 0:
            state.active.start_logits = answer.logits
        assert answer.score is not None
        there, near = state.keep_nearest(answer)
        stay = torch.ones_like(near) if answer.grad is None else finite_rows(answer.grad)
        if near.any():
            stay &= ~near.index_put((near,), (yield from _arrived(state, near)))
        if not stay.all():
            state.leave(~stay)
        if not len(state.active):
            break
        if answer.grad is not None:
            state.step(answer.score[stay].to(state.z), answer.grad[stay].to(state.z), there[stay])
    return state


def _arrived(state: _FabState, near: Tensor) -> Procedure[Tensor]:
    """Which of the rows that seem inside are at the goal with the very image that will be
    returned.
    """
    ball, goal = state.active_ball.take(near), state.active_goal.take(near)
    answer = yield Probe(
        ball.image(ball.project(state.z[near])),
        None,
        logits=goal.logits,
        rows=state.active.index[near],
    )
    return goal.reached(answer)


def fab_towards(
    ball: Ball, goal: TargetClasses, number: int, steps: int
) -> Procedure[AscentResult]:
    """Look for the nearest point at a goal, across the boundary to one target class a row.

    A row leaves with the first point that lies in its ball, or where the gradient is no number; of
    the others the nearest point found is brought back into the ball. The walk begins at x. Where
    the paper takes the plane at the point that it has stepped back to, this takes that at the point
    before: its gradient came with its logits, so that a step is one pass and not two. Where the
    goal is a given class, the boundary is the one to whichever class leads; where several meet, the
    walk may circle and find nothing.

    Args:
        ball: the centres, and the radii at which rows leave.
        goal: what is wanted, and the classes on the way.
        number: which of the target classes, from 0.
        steps: gradients a row, at least 1.

    Returns:
        A procedure whose result is an image of each row's ball.
    """
    state = yield from _walk_boundary(ball, goal, number, steps)
    active = state.active
    images = state.preview().detach()
    return AscentResult(images, active.moved, active.start_logits, active.gradients)


@dataclass(frozen=True, eq=False)
class MinimalPerturbation:
    """The smallest perturbations found, row by row.

    Attributes:
        images: (B, C, H, W); the clean image where none was found.
        distance: (B,) the p-norm of the perturbation, 0 for a row that is at its goal as it is,
            infinite where none was found.
        gradients: image-gradients asked for.
    """

    images: Tensor
    distance: Tensor
    gradients: int


def fab_minimal(
    x: Tensor, goal: Goal, p: float, steps: int = 100, target_classes: int = 9
) -> Procedure[MinimalPerturbation]:
    """Look for the nearest points at a goal of classes, whatever their distance.

    Args:
        x: images (B, C, H, W) in [0, 1].
        goal: of classes.
        p: `math.inf`, 2 or 1.
        steps: gradients a row and target class, at least 1.
        target_classes: how many of the most probable wrong classes are tried; all if there are
            fewer.

    Returns:
        A procedure whose result is the smallest perturbations found.

    Raises:
        ValueError: the goal is not one of classes.
    """
    ball = Ball(
        x, torch.zeros_like(x[:, :1, :1, :1]), p
    )  # of which no row that needs a perturbation is inside
    found = MinimalPerturbation(x.clone(), torch.full_like(x[:, 0, 0, 0], torch.inf), 0)
    towards = yield from choose_target_classes(x, goal, target_classes)
    for number in range(towards.targets.shape[1]):
        state = yield from _walk_boundary(ball, towards, number, steps)
        nearer = state.distance < found.distance
        found = MinimalPerturbation(
            torch.where(nearer.view(-1, 1, 1, 1), state.best, found.images),
            torch.minimum(state.distance, found.distance),
            found.gradients + state.active.gradients,
        )
    return found
