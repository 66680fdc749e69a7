"""Square, a random search of squares that asks for nothing but the score (Andriushchenko et al.
2020, "Square Attack").

For L1 the form of Croce & Hein 2021 ("Mind the box").
"""

import math
from collections import deque

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interp.ascent import Summit
from interp.attack.ball import Ball
from interp.attack.base import Method
from interp.attack.early_stopping import hopeless, shortfall
from interp.attack.goal import MARGIN, Goal, Loss
from interp.attack.search import Search, in_turn
from interp.norms import norm
from interp.probe import Answer, Probe, Procedure, Progress
from interp.seeds import Generators

SHARE = 0.8  # of the pixels, what the first squares cover (p_init in the paper)
HALVINGS = (
    10,
    50,
    200,
    500,
    1000,
    2000,
    4000,
    6000,
    8000,
)  # of 10,000 proposals, after which the share is halved
DRAWN = 128  # proposals whose randomness a row draws at once
TILES = 5  # L2, L1: a side of the first perturbation
TINY = 1e-12
CANCELLED = 1e-6  # of what is left of two shapes of norm 1, too little to tell from rounding
LOOKS = 20  # how often, evenly over the queries, it is judged which rows to give up
APART = 250  # queries, the least between two such looks
RECENT = 3  # looks that a row's pace is measured over


def share(proposal: int, planned: int = 10_000) -> float:
    """Of the pixels, what the square of a proposal, from 0, covers; `planned` proposals stretch or
    squeeze the schedule.
    """
    halvings = sum(proposal * 10_000 > mark * planned for mark in HALVINGS)
    return float(SHARE / 2**halvings)


def side(proposal: int, planned: int, height: int, width: int, p: float) -> int:
    """The side of a proposal's square in pixels; for L2 and L1 it is odd and at least 3, where the
    image has room.
    """
    length = round(math.sqrt(share(proposal, planned) * height * width))
    if p == math.inf:
        return min(max(length, 1), height, width)
    most = min(height, width)
    return min(max(length, 3) | 1, most - (most + 1) % 2)


def bump(length: int) -> Tensor:
    """(length, length) the shape that L2 and L1 squares take, of length 1 in L2: a hill in the
    upper half, its negative in the lower.
    """
    upper = length // 2
    shape = torch.cat([_hill(upper, length), -_hill(length - upper, length)])
    return _unit(shape)


def _hill(height: int, width: int) -> Tensor:
    """(height, width) falling from the centre as 1 + 1/4 + 1/9 + ... loses its first terms, of
    length 1 in L2.
    """
    rings = max(height, width) // 2 + 1
    heights = (
        (1 / torch.arange(1, rings + 1, dtype=torch.float64).square()).flip(0).cumsum(0).flip(0)
    )
    away = [(torch.arange(n) - n // 2).abs() for n in (height, width)]
    hill = heights[torch.maximum(away[0][:, None], away[1])]
    return _unit(hill)


def _unit(shape: Tensor) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(shape)
    return shape / size.clamp_min(TINY)


class _Hunt:
    """A Square under way: the rows still searching, and the best of those that left."""

    def __init__(self, ball: Ball, goal: Goal, loss: Loss, rows: Generators, planned: int) -> None:
        self.whole, self.wanted, self.loss, self.rows, self.planned = (
            ball,
            goal,
            loss,
            rows,
            planned,
        )
        self.found, self.queries = ball.x.clone(), 0
        self.bumps: dict[int, Tensor] = {}
        self.score = torch.full_like(
            ball.x[:, 0, 0, 0], -torch.inf
        )  # (A,) of z, the best so far of every row still searching
        self.z, self.draws = ball.x, ball.x.new_empty(len(ball.x), 0)
        self.search_on(torch.arange(len(ball.x), device=ball.x.device))

    def search_on(self, number: Tensor) -> None:
        """Go on with these rows (A,)."""
        self.number, self.ball, self.goal = (
            number,
            self.whole.take(number),
            self.wanted.take(number),
        )
        self.objective = self.goal.objective(self.loss)
        if self.ball.p == math.inf:
            self.low, self.high = (
                self.ball.project(self.ball.x + way * self.ball.eps) for way in (-1, 1)
            )

    def preview(self) -> Tensor:
        return self.whole.image(self.found.index_copy(0, self.number, self.z))

    def propose(self, query: int) -> Tensor:
        """Where to look next, (A, C, H, W) in the ball."""
        if query == 0:
            return self.stripes() if self.ball.p == math.inf else self.tiles()
        number = (query - 1) % DRAWN
        if number == 0:
            columns = self.z.shape[1] + (2 if self.ball.p == math.inf else 5)
            self.draws = self.drawn(DRAWN, columns)
        length = side(query - 1, self.planned, self.z.shape[2], self.z.shape[3], self.ball.p)
        draws = self.draws[:, number]
        return (
            self.flat_square(draws, length)
            if self.ball.p == math.inf
            else self.bumpy_square(draws, length)
        )

    def drawn(self, *shape: int) -> Tensor:
        """(A, *shape) uniform in [0, 1), every row from its own generator."""
        drawn = [self.rows[i].random(shape, dtype=np.float32) for i in self.number.tolist()]
        return torch.from_numpy(np.stack(drawn)).to(self.z)

    def stripes(self) -> Tensor:
        """Vertical stripes of radius epsilon, each channel's signs its own."""
        _, channels, _, width = self.z.shape
        return torch.where(self.drawn(channels, 1, width) < 0.5, self.low, self.high)

    def flat_square(self, draws: Tensor, length: int) -> Tensor:
        """The best so far with a square in which every channel is at one edge of the ball."""
        height, width = self.z.shape[2:]
        rows, columns = (_within(draws[:, i], length, n) for i, n in enumerate((height, width)))
        edge = torch.where(draws[:, 2:, None, None] < 0.5, self.low, self.high)
        return torch.where(rows[:, None, :, None] & columns[:, None, None, :], edge, self.z)

    def bump(self, length: int) -> Tensor:
        if length not in self.bumps:
            self.bumps[length] = bump(length).to(self.z)
        return self.bumps[length]

    def tiles(self) -> Tensor:
        """A grid of bumps in the middle of the image, of random signs and directions."""
        _, channels, height, width = self.z.shape
        length = max(min(height, width) // TILES, 1)
        down, across = min(height // length, TILES), min(width // length, TILES)
        draws = (
            self.drawn(channels + 1, down, across)
            .repeat_interleave(length, 2)
            .repeat_interleave(length, 3)
        )
        upright = self.bump(length)
        delta = torch.where(
            draws[:, -1:] < 0.5, upright.repeat(down, across), upright.T.repeat(down, across)
        )
        delta = delta * torch.where(draws[:, :-1] < 0.5, -1.0, 1.0).to(delta)
        top, left = (height - down * length) // 2, (width - across * length) // 2
        delta = F.pad(
            delta, (left, width - across * length - left, top, height - down * length - top)
        )
        grown = delta * (self.ball.eps / norm(delta, self.ball.p)).clamp_min(1)
        return self.ball.project(self.ball.x + grown)

    def bumpy_square(self, draws: Tensor, length: int) -> Tensor:
        """The best so far with one window cleared, and a bump added to another that takes over the
        norm of both and what was unused.

        Equations of algorithm 3 in the paper. For L1 the new window is larger by the number of
        channels and the whole is projected, as in the authors' program.
        """
        p, channels = self.ball.p, self.z.shape[1]
        gain, loss = self._windows(draws, length)
        delta = (self.z - self.ball.x).flatten(2)  # (A, C, H W)
        old = delta.gather(2, gain)
        rest = delta.scatter(2, loss, 0.0).scatter(2, gain, 0.0)
        whole = _mass(delta, p)  # (A, C, 1)
        unused = (self.ball.eps.view(-1, 1, 1) ** p - whole.sum(1, keepdim=True)).clamp_min(0)
        budget = (whole - _mass(rest, p)).clamp_min(0) + unused / channels
        upright = self.bump(length)
        shape = torch.where(draws[:, 4, None] < 0.5, upright.flatten(), upright.T.flatten())[
            :, None
        ]  # (A, 1, length^2)
        added = shape * torch.where(draws[:, 5:] < 0.5, -1.0, 1.0).to(shape)[:, :, None]
        new = added + old / (_mass(old, p) ** (1 / p) + TINY)
        new = torch.where(
            _mass(new, p) > CANCELLED, new, added
        )  # a bump that meets its own negative
        new = new * (budget / _mass(new, p)) ** (1 / p) * (channels if p == 1 else 1)
        return self.ball.project(self.ball.x + rest.scatter(2, gain, new).view_as(self.z))

    def _windows(self, draws: Tensor, length: int) -> list[Tensor]:
        """Pixel numbers (A, C, length^2) of two windows of every row, anywhere in the image."""
        _, channels, height, width = self.z.shape
        line = torch.arange(length, device=draws.device)
        inside = (line[:, None] * width + line).flatten()
        room = torch.tensor([height - length + 1, width - length + 1], device=draws.device)
        corners = (draws[:, :4].view(-1, 2, 2) * room).long()  # (A, 2, 2)
        first = corners[..., 0] * width + corners[..., 1]
        return [
            (start[:, None] + inside)[:, None].expand(-1, channels, -1) for start in first.unbind(1)
        ]

    def see(self, z: Tensor, answer: Answer, outlook: "_Outlook | None") -> None:
        """Keep what scores higher; rows at their goal leave with it, and so do those that will not
        get there.
        """
        assert answer.score is not None
        there = self.goal.reached(answer)
        better = there | (answer.score > self.score)
        self.z = torch.where(better.view(-1, 1, 1, 1), z, self.z)
        self.score = torch.where(better, answer.score.to(self.score), self.score)
        gone = (
            there
            if outlook is None
            else there | outlook.hopeless(shortfall(self.goal, answer), self.number)
        )
        if gone.any():
            self.found[self.number[gone]] = self.z[gone]
            self.z, self.score, self.draws = self.z[~gone], self.score[~gone], self.draws[~gone]
            self.search_on(self.number[~gone])


class _Outlook:
    """Tells which rows will not come to their goal in the queries left, by far, see
    `interp.attack.early_stopping`.
    """

    def __init__(self, score: Tensor, queries: int) -> None:
        self.queries, self.every, self.seen = queries, max(queries // LOOKS, APART), 0
        self.nearest = torch.full_like(score, torch.inf)  # (B,) how near rows have come
        self.looks = deque[Tensor](maxlen=RECENT)  # what it was

    def hopeless(self, left: Tensor, rows: Tensor) -> Tensor:
        """Of rows (A,), from how far the last query was from their goal, (A,); at a few looks only,
        else none.
        """
        self.seen += 1
        self.nearest[rows] = torch.minimum(self.nearest[rows], left.to(self.nearest))
        none = torch.zeros_like(left, dtype=torch.bool)
        if self.seen % self.every:
            return none
        nearest = self.nearest.clone()
        due, before = len(self.looks) == RECENT, self.looks[0] if self.looks else nearest
        self.looks.append(nearest)
        return (
            hopeless(before[rows], nearest[rows], RECENT * self.every, self.queries - self.seen)
            if due
            else none
        )


def _mass(delta: Tensor, p: float) -> Tensor:
    """The p-norm of each channel (A, C, n), to the power of p, (A, C, 1)."""
    powers = delta.square() if p == 2 else delta.abs()
    return powers.sum(2, keepdim=True)


def _within(draw: Tensor, length: int, size: int) -> Tensor:
    """(A, size) bool: an interval of `length` of `size` pixels, anywhere by a draw (A,) in
    [0, 1).
    """
    along = torch.arange(size, device=draw.device) - (draw * (size - length + 1)).long()[:, None]
    return (along >= 0) & (along < length)


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
        title="Square",
        classes_needed=loss.classes_needed,
    )


def square_search(
    queries: int, loss: Loss = MARGIN, planned: int | None = None, give_up: bool = False
) -> Search:
    """The search of `square`, see `square_ascent`."""
    return lambda ball, goal, rows: square_ascent(ball, goal, queries, rows, loss, planned, give_up)


def square_ascent(
    ball: Ball,
    goal: Goal,
    queries: int,
    rows: Generators,
    loss: Loss = MARGIN,
    planned: int | None = None,
    give_up: bool = False,
) -> Procedure[Summit]:
    """Look for a point of `goal` in `ball` by at most `queries` queries a row, at least 1, of which
    the first is the start's.

    A row leaves with the first point at its goal; the others return the one of the highest loss.
    Squares lie anywhere in the image, as in the paper (the authors' own program never touches the
    last row and column), and every row has its own.

    Args:
        rows: one generator a row.
        planned: for how many proposals the schedule of sizes is laid out; None: for `queries`.
            AutoAttack lays it out for 10,000 and makes 5,000.
        give_up: rows leave, too, that are too far from their goal for the queries left: at every
            twentieth of the queries, and never before the 1,000th, a row must come to its goal at
            three times its pace over the last three twentieths. Off, as in the paper.

    Giving up changed no verdict in 980 rows of 5,000 queries: `cifar10-robust` at 8/255 and, behind
    an input of 8 levels, at 8 to 20/255; `cifar10-plain` and `digits-lenet5`, the latter also
    behind 8 levels and in L2, at about the radii that PGD needs. Of these rows 602 came to their
    goal, 78 after the 1,000th query. Smaller squares make for an ever slower descent: what a row
    still gains is mostly a tenth to a half of what its pace promises. The robust network's rows are
    spared 54% of their queries at 8/255.
    """
    hunt = _Hunt(ball, goal, loss, rows, planned or queries)
    outlook = _Outlook(hunt.score, queries) if give_up else None
    for query in range(queries):
        z = hunt.propose(query)
        progress = Progress(query + 1, queries, hunt.preview)
        answer = yield Probe(
            hunt.ball.image(z),
            hunt.objective,
            gradient=False,
            logits=goal.logits,
            progress=progress,
        )
        hunt.queries += len(z)
        hunt.see(z, answer, outlook)
        if not len(hunt.number):
            break
    return Summit(
        hunt.preview(),
        torch.zeros_like(hunt.whole.x[:, 0, 0, 0], dtype=torch.bool),
        None,
        0,
        hunt.queries,
    )
