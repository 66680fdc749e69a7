"""FAB, which follows the decision boundary to the point nearest to the image, in its targeted form.

Croce & Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary attack".
It knows no epsilon: whoever asks for a verdict at one lets the rows go whose found point is near
enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.ascent import Summit
from interp.attack.ball import Ball
from interp.attack.base import Method
from interp.attack.goal import MARGIN, Goal, Loss, Untargeted
from interp.attack.losses import margin
from interp.attack.search import Search
from interp.attack.target_classes import Contest, contest, each_rival
from interp.layer import LOGITS
from interp.norms import norm
from interp.objective import Objective
from interp.probe import Answer, Probe, Procedure, Progress

ALPHA = (
    0.1  # the most that a step leans towards the image's own projection (alpha_max in the paper)
)
ETA = 1.05  # how far past the plane a step goes
BETA = 0.9  # what is left of a perturbation that did reach the goal
SHORTEST = 1e-8  # the least length of a move, so that two of none weigh the same


def _lead(activations: Mapping[str, Tensor], labels: Tensor, targets: Tensor) -> Tensor:
    logits = activations[LOGITS]
    return (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None])).squeeze(1)


def lead(labels: Tensor, targets: Tensor) -> Objective:
    """The target's logit minus the label's, per row; both (B,) int64. Its zero is the boundary
    between the two classes.
    """
    return Objective((LOGITS,), _lead, (labels, targets))


TARGET_LEAD = Loss("lead", margin, lead)


def to_plane(t: Tensor, w: Tensor, rise: Tensor, p: float) -> Tensor:
    """The least move d in p-norm from points t (..., n) in [0, 1] to w . d = rise, t + d in [0, 1]
    (section 3.1 of the paper).

    Where the box ends before the plane, the move that comes nearest to it. `w` (..., n) and `rise`
    (..., 1) are broadcastable; p is `math.inf`, 2 or 1.
    """
    way = w * rise.sign()
    room = torch.where(way > 0, 1 - t, torch.where(way < 0, t, 0.0))
    size = (
        _dearest_first(w.abs(), room, rise.abs())
        if p == 1
        else _together(w.abs(), room, rise.abs(), p)
    )
    return size * way.sign()


def _together(weight: Tensor, room: Tensor, rise: Tensor, p: float) -> Tensor:
    """min(cut grow, room), where all entries (Linf) or the weight of each (L2) grow, of weighted
    sum `rise`.

    That sum is concave and piecewise linear in the cut, so Newton's steps from 0 come from below
    and end on the right piece: each fills at least one entry more, and few are needed. No sorting.
    """
    grow = torch.ones_like(weight) if p == torch.inf else weight
    gain, held = weight * grow, weight * room
    cut = torch.zeros_like(rise)
    free = room > 0
    while True:
        slope = torch.where(free, gain, 0.0).sum(-1, keepdim=True)
        full = torch.where(free, 0.0, held).sum(-1, keepdim=True)
        cut = torch.where(slope > 0, torch.maximum(cut, (rise - full) / slope), cut)
        still = free & (room > cut * grow)
        if torch.equal(still, free):
            return torch.minimum(cut * grow, room)
        free = still


def _dearest_first(weight: Tensor, room: Tensor, rise: Tensor) -> Tensor:
    """Entries of the largest weight are filled first, the last of them in part, to a weighted sum
    of `rise`; in float64.
    """
    order = weight.argsort(dim=-1, descending=True, stable=True).expand_as(room)
    price, space = (
        weight.expand_as(room).gather(-1, order).double(),
        room.gather(-1, order).double(),
    )
    spent = (price * space).cumsum(-1) - price * space
    part = ((rise.double() - spent) / price.clamp_min(torch.finfo(price.dtype).tiny)).clamp_min(0)
    return torch.zeros_like(room).scatter(-1, order, torch.minimum(part, space).to(room))


class _Chase:
    """A FAB under way towards one rival class a row: the rows still walking, and the nearest point
    at the goal of every row.
    """

    def __init__(self, ball: Ball, goal: Goal, ahead: Objective, steps: int) -> None:
        self.whole, self.steps = ball, steps
        self.wanted, self.asked = goal, ahead
        self.ball, self.goal, self.ahead = ball, goal, ahead
        self.number = torch.arange(len(ball.x), device=ball.x.device)
        self.z = ball.x
        self.best = ball.x.clone()
        self.distance = torch.full_like(ball.x[:, 0, 0, 0], torch.inf)
        self.moved = torch.zeros_like(self.number, dtype=torch.bool)
        self.start_logits: Tensor | None = None
        self.gradients = 0

    def preview(self) -> Tensor:
        return self.whole.image(self.whole.project(self.best))

    def probe(self, k: int) -> Probe:
        """Ask where z^(k) is and, unless it is the last, which way the boundary lies."""
        if k == self.steps:
            return Probe(self.z, self.ahead, gradient=False, logits=self.goal.logits)
        self.gradients += len(self.z)
        return Probe(
            self.z,
            self.ahead,
            logits=self.goal.logits,
            progress=Progress(k + 1, self.steps, self.preview),
        )

    def see(self, answer: Answer) -> tuple[Tensor, Tensor]:
        """Keep what is at the goal and nearer than before; returns which rows (A,) are at the goal,
        and which may be inside.
        """
        there = self.goal.reached(answer)
        distance = norm(self.z - self.ball.x, self.ball.p).flatten()
        nearer = there & (distance < self.distance[self.number])
        if nearer.any():
            rows = self.number[nearer]
            self.best[rows], self.distance[rows] = self.z[nearer], distance[nearer]
        return there, nearer & (distance <= self.ball.eps.flatten())

    def leave(self, gone: Tensor) -> None:
        """Let rows go, (A,) bool."""
        self.number, self.z = self.number[~gone], self.z[~gone]
        self.ball, self.goal = self.whole.take(self.number), self.wanted.take(self.number)
        self.ahead = self.asked.take(self.number)

    def step(self, score: Tensor, grad: Tensor, there: Tensor) -> None:
        """From z, or from a step back where z is at the goal, to the boundary as it looks from z,
        leaning towards the image.
        """
        self.moved[self.number] |= grad.flatten(1).any(1)
        x, w = self.ball.x.flatten(1), grad.flatten(1)
        z = self.z.flatten(1)
        back = torch.where(there[:, None], torch.lerp(x, z, BETA), z)
        points = torch.stack([back, x])  # (2, A, n)
        rise = -score[:, None] - ((points - z) * w).sum(-1, keepdim=True)  # (2, A, 1)
        move = to_plane(points, w, rise, self.ball.p)
        own, images = torch.linalg.vector_norm(move, self.ball.p, dim=-1, keepdim=True).clamp_min(
            SHORTEST
        )
        ahead = points + ETA * move
        self.z = (
            torch.lerp(ahead[0], ahead[1], (own / (own + images)).clamp_max(ALPHA))
            .clamp(0, 1)
            .view_as(self.z)
        )


def _chase(ball: Ball, goal: Contest, number: int, steps: int) -> Procedure[_Chase]:
    untargeted = isinstance(
        goal.goal, Untargeted
    )  # otherwise every other class is to be left behind, not the label alone
    chase = _Chase(
        ball,
        goal,
        goal.towards(number, TARGET_LEAD) if untargeted else goal.objective(MARGIN),
        steps,
    )
    for k in range(steps + 1):
        answer = yield chase.probe(k)
        chase.start_logits = answer.logits if k == 0 else chase.start_logits
        assert answer.score is not None
        there, near = chase.see(answer)
        stay = torch.ones_like(near)
        if near.any():
            stay = ~near.index_put((near,), (yield from _landed(chase, near)))
            chase.leave(~stay)
        if not len(chase.number):
            break
        if answer.grad is not None:
            chase.step(answer.score[stay].to(chase.z), answer.grad[stay].to(chase.z), there[stay])
    return chase


def _landed(chase: _Chase, near: Tensor) -> Procedure[Tensor]:
    """Which of the rows that seem inside are at the goal with the very image that will be
    returned.
    """
    ball, goal = chase.ball.take(near), chase.goal.take(near)
    answer = yield Probe(ball.image(ball.project(chase.z[near])), None, logits=goal.logits)
    return goal.reached(answer)


def fab_towards(ball: Ball, goal: Contest, number: int, steps: int) -> Procedure[Summit]:
    """Look for the nearest point at a goal, across the boundary to one rival class, by at most
    `steps` gradients a row.

    A row leaves with the first point that lies in its ball; of the others the nearest point found
    is brought back into the ball. The walk begins at x. Where the paper takes the plane at the
    point that it has stepped back to, this takes that at the point before: its gradient came with
    its verdict, so that a step is one pass and not two. Where the goal is a given class, the
    boundary is the one to whichever class leads; where several meet, the walk may circle and find
    nothing.

    Args:
        number: which of the rivals.
    """
    chase = yield from _chase(ball, goal, number, steps)
    return Summit(chase.preview().detach(), chase.moved, chase.start_logits, chase.gradients)


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
        title="FAB-T",
    )


def fab_search(steps: int, target_classes: int) -> Search:
    """The search of `fab`: along the boundaries to the most probable wrong classes in turn; any
    wrong class is a success.
    """
    return each_rival(
        lambda ball, goal, number, _: fab_towards(ball, goal, number, steps), target_classes
    )


@dataclass(frozen=True, eq=False)
class Minimal:
    """The smallest perturbations found, row by row."""

    images: Tensor  # (B, C, H, W); the clean image where none was found
    # (B,) its p-norm, 0 for a row that is at its goal as it is, infinite where none was found
    distance: Tensor
    gradients: int  # image-gradients asked for


def fab_minimal(
    x: Tensor, goal: Goal, p: float, steps: int = 100, targets: int = 9
) -> Procedure[Minimal]:
    """The nearest points to images x (B, C, H, W) in [0, 1] at a goal of classes, whatever their
    distance.

    Args:
        p: `math.inf`, 2 or 1.
        targets: how many of the most probable wrong classes are tried; all there are if there are
            fewer.

    Raises:
        ValueError: the goal is not one of classes.
    """
    ball = Ball(
        x, torch.zeros_like(x[:, :1, :1, :1]), p
    )  # of which no row that needs a perturbation is inside
    found = Minimal(x.clone(), torch.full_like(x[:, 0, 0, 0], torch.inf), 0)
    contested = yield from contest(x, goal, targets)
    for number in range(contested.rivals.shape[1]):
        chase = yield from _chase(ball, contested, number, steps)
        nearer = chase.distance < found.distance
        images = torch.where(nearer.view(-1, 1, 1, 1), chase.best, found.images)
        found = Minimal(
            images, torch.minimum(chase.distance, found.distance), found.gradients + chase.gradients
        )
    return found
