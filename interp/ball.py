"""The threat models: the images within epsilon of x in a norm, cut to [0, 1]."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.seeds import Generators, normal, uniform

LEVELS = 255  # of an 8-bit image


@dataclass(frozen=True, eq=False)
class Ball:
    """The images z in [0, 1] with ||z - x||_p <= eps, row by row.

    Args:
        x: centres (B, C, H, W) in [0, 1].
        eps: radii (B, 1, 1, 1), at least 0, in pixel units.
        p: `math.inf` or 2.
        random_start: begin at a random point of the ball instead of x.
        eight_bit: the images are those of 8-bit levels, which x then must be of too.
    """

    x: Tensor
    eps: Tensor
    p: float = math.inf
    random_start: bool = False
    eight_bit: bool = False

    def start(self, rows: Generators) -> Tensor:
        """x itself, or a random point: uniform in the box for Linf (Madry et al. 2018), uniform in the ball for L2."""
        if not self.random_start:
            return self.x.clone()
        if self.p == math.inf:
            return self.project(self.x + self.eps * uniform(rows, self.x.shape[1:], self.x))
        radius = uniform(rows, (1, 1, 1), self.x).add(1).div(2) ** (1 / self.x[0].numel())
        return self.project(self.x + self.eps * radius * self._direction(rows))

    def image(self, z: Tensor) -> Tensor:
        """z itself, or the 8-bit image nearest to it; the gradient is that of z itself."""
        return self.round(z).detach() + (z - z.detach()) if self.eight_bit else z

    def project(self, z: Tensor) -> Tensor:
        """The points of the ball nearest to z (for L2: nearest in the ball, then cut to the box, which stays in the ball)."""
        delta = z - self.x
        if self.p == math.inf:
            delta = torch.minimum(torch.maximum(delta, -self.eps), self.eps)
        else:
            delta = delta * (self.eps / norm(delta, self.p).clamp_min(1e-12)).clamp_max(1)
        return (self.x + delta).clamp(0, 1)

    def noise(self, rows: Generators) -> Tensor:
        """Noise as large as an attack may be, cut to [0, 1]: random signs for Linf, uniform on the sphere for L2."""
        if self.p == math.inf:
            return (self.x + self.eps * uniform(rows, self.x.shape[1:], self.x).sign()).clamp(0, 1)
        return (self.x + self.eps * self._direction(rows)).clamp(0, 1)

    def take(self, index: Tensor) -> "Ball":
        """The same ball for a choice of rows."""
        return Ball(self.x[index], self.eps[index], self.p, self.random_start, self.eight_bit)

    def round(self, z: Tensor) -> Tensor:
        """The images of 8-bit levels (multiples of 1/255) nearest to z that lie in the ball; x must be such an image itself.

        Linf: levels are cut to those within eps. L2: each level is the nearest, then as many of those that were rounded away
        from x as needed are rounded towards it, the closest calls first, until the norm is at most eps.
        """
        centre = (self.x * LEVELS).round()
        wanted = z * LEVELS - centre
        budget = self.eps * LEVELS + 1e-4  # the float32 of k/255 may fall short of k levels
        if self.p == math.inf:
            levels = torch.minimum(torch.maximum(wanted.round(), -budget.floor()), budget.floor())
        else:
            levels = _round_within(wanted.flatten(1), budget.flatten()).view_as(z)
        return ((centre + levels) / LEVELS).clamp(0, 1)

    def _direction(self, rows: Generators) -> Tensor:
        direction = normal(rows, self.x.shape[1:], self.x)
        return direction / norm(direction, 2)


def _round_within(wanted: Tensor, radius: Tensor) -> Tensor:
    """Integers near `wanted` (B, n) whose Euclidean length is at most `radius` (B,)."""
    towards = wanted.trunc()
    nearest = wanted.round()
    away = nearest != towards  # rounded away from zero; taking that back saves 2|nearest| - 1 of the squared length
    overshoot = nearest.square().sum(1, keepdim=True) - radius.square()[:, None]
    fraction = torch.where(away, (wanted - towards).abs(), torch.inf)
    order = fraction.argsort(1)  # from the closest call (one half) upwards
    saving = torch.where(away, 2 * nearest.abs() - 1, 0.0).gather(1, order)
    saved_before = saving.cumsum(1) - saving
    taken_back = torch.zeros_like(away).scatter(1, order, saved_before < overshoot)
    levels = torch.where(taken_back & away, towards, nearest)
    too_long = levels.square().sum(1, keepdim=True) > radius.square()[:, None]
    shrunk = wanted * (radius[:, None] / wanted.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1)
    return torch.where(too_long, shrunk.trunc(), levels)


def norm(delta: Tensor, p: float) -> Tensor:
    """The p-norm of each row of delta (B, C, H, W), as (B, 1, 1, 1)."""
    length: Tensor = torch.linalg.vector_norm(delta, p, dim=(1, 2, 3), keepdim=True)
    return length
