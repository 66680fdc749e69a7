"""Square, a random search of squares that asks for nothing but the score (Andriushchenko et al.
2020, "Square Attack").

For L1 the form of Croce & Hein 2021 ("Mind the box").
"""

import numpy as np
import torch
from torch import Tensor

from interp.active_rows import ActiveRows
from interp.ascent import AscentResult
from interp.attack.ball import Ball
from interp.attack.base import Method, method_label
from interp.attack.early_stopping import EarlyStopping, distance_to_goal
from interp.attack.goal import MARGIN, Goal, Loss
from interp.attack.search import Search, in_turn
from interp.attack.square.proposals import SquareProposals, side
from interp.probe import Answer, Probe, Procedure, StepProgress
from interp.seeds import Generators

DRAWN = 128  # proposals whose randomness a row draws at once
CHECKS = 20  # how often, evenly over the queries, it is decided which rows to give up
APART = 250  # queries, the least between two such checks
RECENT = 3  # checks that a row's progress is measured over


def square(queries: int = 5000, loss: Loss = MARGIN, restarts: int = 1) -> Method:
    """Make Square, a random search without gradients.

    Args:
        queries: images asked about, at least 1 a row and start.
        loss: what is raised.
        restarts: starts, at least 1, each of the rows that are not at their goal yet.
    """
    return Method(
        in_turn([square_search(queries, loss)] * restarts),
        name="square",
        settings={"queries": queries, "loss": loss.name, "restarts": restarts},
        label=method_label(
            "Square", queries, loss=None if loss is MARGIN else loss.name, restarts=restarts
        ),
        classes_needed=loss.classes_needed,
    )


def square_search(
    queries: int, loss: Loss = MARGIN, planned: int | None = None, give_up: bool = False
) -> Search:
    """The search of `square`, see `square_ascent`.

    Args:
        queries: images asked about, at least 1 a row.
        loss: what is raised.
        planned: proposals that the schedule of sizes is laid out for; None: `queries`.
        give_up: rows leave, too, that are too far from their goal.
    """
    return lambda ball, goal, rows: square_ascent(ball, goal, queries, rows, loss, planned, give_up)


class _SquareState:
    """A Square under way: the best images of the active rows, and those of the rows that left."""

    def __init__(self, ball: Ball, goal: Goal, loss: Loss, rows: Generators, planned: int) -> None:
        self.ball, self.goal, self.loss, self.generators = ball, goal, loss, rows
        self.planned = planned
        self.active = ActiveRows(len(ball.x), ball.x.device)
        self.active_ball, self.active_goal = ball, goal
        self.objective = goal.objective(loss)
        self.proposals = SquareProposals(ball)
        self.found = ball.x.clone()
        self.z, self.draws = ball.x, ball.x.new_empty(len(ball.x), 0)
        self.score = torch.full_like(ball.x[:, 0, 0, 0], -torch.inf)  # (A,) of z

    def preview(self) -> Tensor:
        return self.ball.image(self.active.merge(self.found, self.z))

    def propose(self, query: int) -> Tensor:
        """The next images to ask about, (A, C, H, W) in the ball."""
        if query == 0:
            return self.proposals.first(self.draw)
        number = (query - 1) % DRAWN
        if number == 0:
            self.draws = self.draw(DRAWN, self.proposals.columns)
        length = side(query - 1, self.planned, self.z.shape[2], self.z.shape[3], self.ball.p)
        return self.proposals.change(self.z, self.draws[:, number], length)

    def draw(self, *shape: int) -> Tensor:
        """(A, *shape) uniform in [0, 1), every row from its own generator."""
        drawn = [rng.random(shape, dtype=np.float32) for rng in self.active.of(self.generators)]
        return torch.from_numpy(np.stack(drawn)).to(self.z)

    def update(self, z: Tensor, answer: Answer, stopping: EarlyStopping | None) -> None:
        """Keep what scores higher; rows at their goal leave with it, and so do those that are given
        up.
        """
        assert answer.score is not None
        there = self.active_goal.reached(answer)
        better = there | (answer.score > self.score)
        self.z = torch.where(better.view(-1, 1, 1, 1), z, self.z)
        self.score = torch.where(better, answer.score.to(self.score), self.score)
        gone = there
        if stopping is not None:
            distance = distance_to_goal(self.active_goal, answer)
            gone = there | stopping.update(distance, self.active.index)
        if gone.any():
            self.leave(gone)

    def leave(self, gone: Tensor) -> None:
        """Let rows go, (A,) bool."""
        self.found[self.active.index[gone]] = self.z[gone]
        self.z, self.score, self.draws = self.z[~gone], self.score[~gone], self.draws[~gone]
        self.active.leave(gone)
        self.active_ball = self.active.select(self.ball)
        self.active_goal = self.active.select(self.goal)
        self.objective = self.active_goal.objective(self.loss)
        self.proposals.restrict(self.active_ball)


def square_ascent(
    ball: Ball,
    goal: Goal,
    queries: int,
    rows: Generators,
    loss: Loss = MARGIN,
    planned: int | None = None,
    give_up: bool = False,
) -> Procedure[AscentResult]:
    """Look for a point of a goal in a ball by random changes of squares of pixels.

    A row leaves with the first point at its goal; the others return the one of the highest loss.
    Squares lie anywhere in the image, as in the paper (the authors' own program never touches the
    last row and column), and every row has its own. No change is tried that changes nothing, and
    what the box stops of a change for L2 or L1 grows elsewhere.

    Giving up changed no outcome in 980 rows of 5,000 queries: `cifar10-robust` at 8/255 and, behind
    an input of 8 levels, at 8 to 20/255; `cifar10-plain` and `digits-lenet5`, the latter also
    behind 8 levels and in L2, at about the radii that PGD needs. Of these rows 602 came to their
    goal, 78 after the 1,000th query. Smaller squares make for an ever slower descent: what a row
    still gains is mostly a tenth to a half of what its progress promises. The robust network's rows
    are spared 54% of their queries at 8/255.

    Args:
        ball: where to search.
        goal: what is wanted.
        queries: images asked about, at least 1 a row, of which the first is the start's.
        rows: one generator a row.
        loss: what is raised.
        planned: for how many proposals the schedule of sizes is laid out; None: for `queries`.
            AutoAttack lays it out for 10,000 and makes 5,000.
        give_up: rows leave, too, that are too far from their goal for the queries left: at every
            twentieth of the queries, and never before the 1,000th, a row must come to its goal at
            three times its progress over the last three twentieths. Off, as in the paper.

    Returns:
        A procedure whose result is the first image of each row at its goal, else its best.
    """
    state = _SquareState(ball, goal, loss, rows, planned or queries)
    stopping = None
    if give_up:
        every = max(queries // CHECKS, APART)
        stopping = EarlyStopping(len(ball.x), queries, RECENT, every, RECENT * every)
    asked = 0
    for query in range(queries):
        z = state.propose(query)
        answer = yield Probe(
            state.active_ball.image(z),
            state.objective,
            gradient=False,
            logits=goal.logits,
            progress=StepProgress(query + 1, queries, state.preview),
            rows=state.active.index,
        )
        asked += len(z)
        state.update(z, answer, stopping)
        if not len(state.active):
            break
    return AscentResult(state.preview(), state.active.moved, None, 0, asked)
