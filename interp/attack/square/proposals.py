"""What Square proposes: stripes and flat squares for Linf, tiles and bumps for L2 and L1.

Andriushchenko et al. 2020, "Square Attack", algorithms 2 and 3; for L1 Croce & Hein 2021, "Mind the
box".
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.attack.ball import Ball
from interp.attack.geometry.ball_projection import stretch_l2
from interp.norms import norm

SHARE = 0.8  # of the pixels, what the first squares cover (p_init in the paper)
# of 10,000 proposals, after which the share is halved
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
TILES = 5  # L2, L1: a side of the first perturbation
# of a hill by norm: for L1, whose change should be sparse, nearly all of it is in the middle
STEEPNESS = {2.0: 2, 1.0: 4}
OVERFULL = 3  # L1: a new window over its share of the norm, before the whole is projected
TINY = 1e-12
CANCELLED = 1e-6  # of what is left of two shapes of norm 1, too little to tell from rounding

Draw = Callable[..., Tensor]  # shape -> (A, *shape) uniform in [0, 1), each row from its generator


def share(proposal: int, planned: int = 10_000) -> float:
    """Look up which share of the pixels the square of a proposal covers.

    Args:
        proposal: its number, from 0.
        planned: proposals in all; the schedule of 10,000 is stretched or squeezed to them.

    Returns:
        A share in (0, 0.8].
    """
    halvings = sum(proposal * 10_000 > mark * planned for mark in HALVINGS)
    return float(SHARE / 2**halvings)


def side(proposal: int, planned: int, height: int, width: int, p: float) -> int:
    """Compute the side of a proposal's square.

    Args:
        proposal, planned: as for `share`.
        height, width: of the images, in pixels.
        p: the norm, `math.inf`, 2 or 1.

    Returns:
        Pixels; for L2 and L1 odd and at least 3, where the image has room.
    """
    length = round(math.sqrt(share(proposal, planned) * height * width))
    if p == math.inf:
        return min(max(length, 1), height, width)
    most = min(height, width)
    return min(max(length, 3) | 1, most - (most + 1) % 2)


def bump(length: int, p: float) -> Tensor:
    """Make the shape that L2 and L1 squares take: a hill in the upper half, its negative in the
    lower.

    Args:
        length: side in pixels, at least 1.
        p: the norm, 2 or 1.

    Returns:
        (length, length) float64, of p-norm 1.
    """
    upper = length // 2
    shape = torch.cat([_hill(upper, length, p), -_hill(length - upper, length, p)])
    return _unit(shape, p)


def _hill(height: int, width: int, p: float) -> Tensor:
    """(height, width) falling from the centre as the sum of 1/k^s, k = 1, 2, ..., loses its first
    terms, of p-norm 1; s is `STEEPNESS[p]`.
    """
    rings = max(height, width) // 2 + 1
    terms = torch.arange(1, rings + 1, dtype=torch.float64) ** -STEEPNESS[p]
    heights = terms.flip(0).cumsum(0).flip(0)
    away = [(torch.arange(n) - n // 2).abs() for n in (height, width)]
    hill = heights[torch.maximum(away[0][:, None], away[1])]
    return _unit(hill, p)


def _unit(shape: Tensor, p: float) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(shape, p)
    return shape / size.clamp_min(TINY)


class SquareProposals:
    """Makes the next images to ask about, in a ball of the rows still searched.

    Args:
        ball: of the active rows.
    """

    def __init__(self, ball: Ball) -> None:
        self._bumps: dict[int, Tensor] = {}
        self.restrict(ball)

    def restrict(self, ball: Ball) -> None:
        """Go on in this ball of the rows that are left."""
        self.ball = ball
        if ball.p == math.inf:
            self.low, self.high = (ball.project(ball.x + way * ball.eps) for way in (-1, 1))

    @property
    def columns(self) -> int:
        """How many random numbers a proposal takes."""
        return self.ball.x.shape[1] + (3 if self.ball.p == math.inf else 5)

    def first(self, draw: Draw) -> Tensor:
        """Make the first images (A, C, H, W): stripes for Linf, tiles for L2 and L1."""
        return self._stripes(draw) if self.ball.p == math.inf else self._tiles(draw)

    def change(self, z: Tensor, draws: Tensor, length: int) -> Tensor:
        """Change the best images so far in one square.

        Args:
            z: (A, C, H, W) in the ball.
            draws: (A, columns) uniform in [0, 1).
            length: side of the square, pixels.

        Returns:
            (A, C, H, W) in the ball.
        """
        if self.ball.p == math.inf:
            return self._flat_square(z, draws, length)
        return self._bumpy_square(z, draws, length)

    def _stripes(self, draw: Draw) -> Tensor:
        """Vertical stripes of radius epsilon, each channel's signs its own."""
        _, channels, _, width = self.ball.x.shape
        return torch.where(draw(channels, 1, width) < 0.5, self.low, self.high)

    def _flat_square(self, z: Tensor, draws: Tensor, length: int) -> Tensor:
        """The best so far with a square in which every channel is at one edge of the ball.

        Small squares often lie on pixels that are at these very edges already. One of their
        channels, drawn at random, then takes the other edge, so that no query asks for the same
        image again.
        """
        channels, height, width = z.shape[1:]
        rows, columns = (_within(draws[:, i], length, n) for i, n in enumerate((height, width)))
        inside = rows[:, None, :, None] & columns[:, None, None, :]
        up = draws[:, 3:] >= 0.5
        new = self._on_edges(z, inside, up)
        same = (new == z).flatten(1).all(1, keepdim=True)
        if not same.any():
            return new
        turned = F.one_hot((draws[:, 2] * channels).long(), channels).bool()
        return self._on_edges(z, inside, up ^ (turned & same))

    def _on_edges(self, z: Tensor, inside: Tensor, up: Tensor) -> Tensor:
        """z with the pixels `inside` (A, 1, H, W) at the upper or lower edge of the ball, (A, C)
        channel by channel.
        """
        return torch.where(inside, torch.where(up[:, :, None, None], self.high, self.low), z)

    def _bump(self, length: int) -> Tensor:
        if length not in self._bumps:
            self._bumps[length] = bump(length, self.ball.p).to(self.ball.x)
        return self._bumps[length]

    def _tiles(self, draw: Draw) -> Tensor:
        """A grid of bumps in the middle of the image, of random signs and directions."""
        _, channels, height, width = self.ball.x.shape
        length = max(min(height, width) // TILES, 1)
        down, across = min(height // length, TILES), min(width // length, TILES)
        draws = (
            draw(channels + 1, down, across)
            .repeat_interleave(length, 2)
            .repeat_interleave(length, 3)
        )
        upright = self._bump(length)
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

    def _bumpy_square(self, z: Tensor, draws: Tensor, length: int) -> Tensor:
        """The best so far with one window cleared, and a bump added to another that takes over the
        norm of both and what was unused.

        Equations of algorithm 3 in the paper. What the box then stops grows elsewhere for L2. For
        L1 the new window is `OVERFULL` times larger and the whole is projected, which leaves few
        pixels and fills the ball. The authors' program takes the number of channels instead, so
        that of gray images neither comes about.
        """
        p, channels = self.ball.p, z.shape[1]
        gain, loss = self._windows(draws, length)
        delta = (z - self.ball.x).flatten(2)  # (A, C, H W)
        old = delta.gather(2, gain)
        rest = delta.scatter(2, loss, 0.0).scatter(2, gain, 0.0)
        whole = _mass(delta, p)  # (A, C, 1)
        unused = (self.ball.eps.view(-1, 1, 1) ** p - whole.sum(1, keepdim=True)).clamp_min(0)
        budget = (whole - _mass(rest, p)).clamp_min(0) + unused / channels
        upright = self._bump(length)
        shape = torch.where(draws[:, 4, None] < 0.5, upright.flatten(), upright.T.flatten())[
            :, None
        ]  # (A, 1, length^2)
        added = shape * torch.where(draws[:, 5:] < 0.5, -1.0, 1.0).to(shape)[:, :, None]
        new = added + old / (_mass(old, p) ** (1 / p) + TINY)
        new = torch.where(
            _mass(new, p) > CANCELLED, new, added
        )  # a bump that meets its own negative
        new = new * (budget / _mass(new, p)) ** (1 / p)
        if p == 1:
            new = new * max(channels, OVERFULL)
        wanted = rest.scatter(2, gain, new).view_as(z)
        if p == 2:
            wanted = stretch_l2(self.ball.x, wanted, self.ball.eps)
        return self.ball.project(self.ball.x + wanted)

    def _windows(self, draws: Tensor, length: int) -> list[Tensor]:
        """Pixel numbers (A, C, length^2) of two windows of every row, anywhere in the image."""
        _, channels, height, width = self.ball.x.shape
        line = torch.arange(length, device=draws.device)
        inside = (line[:, None] * width + line).flatten()
        room = torch.tensor([height - length + 1, width - length + 1], device=draws.device)
        corners = (draws[:, :4].view(-1, 2, 2) * room).long()  # (A, 2, 2)
        first = corners[..., 0] * width + corners[..., 1]
        return [
            (start[:, None] + inside)[:, None].expand(-1, channels, -1) for start in first.unbind(1)
        ]


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
