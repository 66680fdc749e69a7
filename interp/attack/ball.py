"""The threat models: the images within epsilon of x in a norm, and within [0, 1]."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interp.attack.geometry.ball_projection import (
    round_within,
    shift,
    shorten_l1,
    shorten_l2,
    spacings,
)
from interp.norms import norm
from interp.seeds import Generators, normal, uniform

LEVELS = 255  # of an 8-bit image
# of noise: how often it is doubled at most, and how precisely it is drawn out
LONGEST, HALVINGS = 20.0, 40


@dataclass(frozen=True, eq=False)
class Ball:
    """The images z in [0, 1] with ||z - x||_p <= eps, row by row.

    Args:
        x: centres (B, C, H, W) in [0, 1].
        epsilon: radii (B, 1, 1, 1), at least 0, in pixel units, in a dtype as precise as they are
            known, see `radii`; `eps` has them in the dtype of x.
        p: `math.inf`, 2 or 1.
        random_start: begin at a random point of the ball instead of x.
        eight_bit: the images are those of 8-bit levels, which x then must be of too.
        exact: project onto ball and box together. For L2 the default is what other libraries do and
            published figures come from, the ball first and the box after it, which also ends inside
            both, but short of the nearest point: where the box binds it gives away length that the
            ball allows. For Linf both are the same, L1 is always exact.
        rows: (B,) which rows of a larger batch these are, for settings of the rows' own; None: the
            whole batch in order.
    """

    x: Tensor
    epsilon: Tensor
    p: float = math.inf
    random_start: bool = False
    eight_bit: bool = False
    exact: bool = False
    rows: Tensor | None = None

    @property
    def eps(self) -> Tensor:
        """(B, 1, 1, 1) the radii in the dtype of x."""
        return self.epsilon.to(self.x.dtype)

    @property
    def fixed(self) -> Tensor:
        """(B, 1, 1, 1) bool: the ball holds no image but x. Of 8-bit images a ball under one level
        does not.
        """
        return self._budget < 1 if self.eight_bit else self.eps == 0

    @property
    def _budget(self) -> Tensor:
        """Epsilon in levels; the float32 of k/255 may fall short of k."""
        return self.eps * LEVELS + 1e-4

    def own(self, values: Tensor) -> Tensor:
        """Choose these rows' entries.

        Args:
            values: a setting of the larger batch, one entry a row of it.

        Returns:
            (B,) on the device of x.
        """
        return (
            values.to(self.x.device) if self.rows is None else values.to(self.x.device)[self.rows]
        )

    def of_row(self, value: float | Tensor) -> float | Tensor:
        """Choose a setting for these rows.

        Args:
            value: one for all rows, or one entry a row of the larger batch.

        Returns:
            The number itself, or (B, 1, 1, 1) in the dtype of x.
        """
        return (
            self.own(value).to(self.x.dtype).view(-1, 1, 1, 1)
            if isinstance(value, Tensor)
            else value
        )

    def start(self, rows: Generators) -> Tensor:
        """Choose where to begin: x itself, or with `random_start` a random point, uniform in the
        box for Linf (Madry et al. 2018), uniform in the ball for L2 and L1.

        Args:
            rows: one generator a row.

        Returns:
            (B, C, H, W) in ball and box.
        """
        if not self.random_start:
            return self.x.clone()
        if self.p == math.inf:
            return self.project(self.x + self.eps * uniform(rows, self.x.shape[1:], self.x))
        if self.p == 1:
            # the last of the gaps is the distance to the sphere
            sizes = spacings(rows, self.x[0].numel() + 1, self.x.device)[:, :-1]
            return self.project(shift(self.x, self.eps * self._signed(sizes, rows)))
        radius = uniform(rows, (1, 1, 1), self.x).add(1).div(2) ** (1 / self.x[0].numel())
        return self.project(self.x + self.eps * radius * self._direction(rows))

    def image(self, z: Tensor) -> Tensor:
        """Turn points into images: z itself, or the 8-bit image nearest to it in the ball.

        Args:
            z: (B, C, H, W) in ball and box.

        Returns:
            (B, C, H, W), whose gradient is that of z itself.
        """
        return self.round(z).detach() + (z - z.detach()) if self.eight_bit else z

    def project(self, z: Tensor) -> Tensor:
        """Find the points of ball and box nearest to z; for L2 unless `exact`: nearest in the ball,
        then cut to the box.

        Args:
            z: (B, C, H, W), anywhere.

        Returns:
            (B, C, H, W).
        """
        if self.p == 1 or (self.p == 2 and self.exact):
            return self._nearest(z)
        delta = z - self.x
        if self.p == math.inf:
            delta = torch.minimum(torch.maximum(delta, -self.eps), self.eps)
        else:
            delta = delta * (self.eps / norm(delta, self.p).clamp_min(1e-12)).clamp_max(1)
        return (self.x + delta).clamp(0, 1)

    def noise(self, rows: Generators) -> Tensor:
        """Draw noise as large as an attack may be: random signs for Linf, a random direction for
        L2, uniform on the sphere for L1.

        The box cuts it; for L2 and L1 it is drawn out until its length is eps in spite of that, if
        the box has room for as much. Of 8-bit images, where rounding would leave nothing of little
        noise, it is as near to eps as levels allow.

        Args:
            rows: one generator a row.

        Returns:
            Noisy images (B, C, H, W) in ball and box.
        """
        if self.p == math.inf:
            return (self.x + self.eps * uniform(rows, self.x.shape[1:], self.x).sign()).clamp(0, 1)
        if self.p == 1:
            delta = self.eps * self._signed(spacings(rows, self.x[0].numel(), self.x.device), rows)
            noisy = shift(self.x, delta).clamp(0, 1)
        else:
            delta = self.eps * self._direction(rows)
            noisy = (self.x + delta).clamp(0, 1)
        if self.eight_bit:
            return self._drawn_out(delta)
        (cut,) = (
            (norm(noisy - self.x, self.p) < self.eps * (1 - 1e-6)).flatten().nonzero(as_tuple=True)
        )
        return (
            noisy.index_copy(0, cut, self.take(cut)._drawn_out(delta[cut])) if len(cut) else noisy
        )

    def _drawn_out(self, delta: Tensor) -> Tensor:
        """The images x + t delta, cut to the box and rounded if they are 8-bit ones, for the
        largest t at which the ball holds them.
        """
        low = torch.full_like(
            self.eps, -1.0
        )  # log2 of t; rounded to nearest, no level is more than doubled
        high = torch.full_like(self.eps, LONGEST)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            inside = self._holds(self._along(delta, middle))
            low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        return self._along(delta, low)

    def _along(self, delta: Tensor, log: Tensor) -> Tensor:
        z = shift(self.x, log.exp2() * delta).clamp(0, 1)
        return (z * LEVELS).round() / LEVELS if self.eight_bit else z

    def _holds(self, images: Tensor) -> Tensor:
        """(B, 1, 1, 1) bool: which images the ball holds, those of 8-bit levels by whole levels,
        others in float64.
        """
        if self.eight_bit:
            return norm(((images - self.x) * LEVELS).round(), self.p) <= self._budget
        return norm(images.double() - self.x.double(), self.p) <= self.eps.double()

    def distance(self, images: Tensor) -> Tensor:
        """Measure how far images are from x.

        Args:
            images: (B, C, H, W) in [0, 1].

        Returns:
            (B,) in pixel units; of 8-bit images by whole levels, so that 8/255 is no more than
            8/255.
        """
        delta = images - self.x
        length = (
            norm((delta * LEVELS).round(), self.p) / LEVELS
            if self.eight_bit
            else norm(delta, self.p)
        )
        return length.flatten()

    def take(self, index: Tensor) -> "Ball":
        """The same ball for a choice of rows."""
        rows = (
            torch.arange(len(self.x), device=self.x.device)[index]
            if self.rows is None
            else self.rows[index]
        )
        return replace(self, x=self.x[index], epsilon=self.epsilon[index], rows=rows)

    def round(self, z: Tensor) -> Tensor:
        """Find the images of 8-bit levels (multiples of 1/255) nearest to z that lie in the ball;
        x must be such an image itself.

        Linf: levels are cut to those within eps. L2 and L1: each level is the nearest, then as many
        of those that were rounded away from x as needed are rounded towards it, the closest calls
        first, until the norm is at most eps.

        Args:
            z: (B, C, H, W) in ball and box.

        Returns:
            (B, C, H, W).
        """
        centre = (self.x * LEVELS).round()
        wanted = z * LEVELS - centre
        budget = self._budget
        if self.p == math.inf:
            levels = torch.minimum(torch.maximum(wanted.round(), -budget.floor()), budget.floor())
        else:
            levels = round_within(wanted.flatten(1), budget.view(-1, 1), self.p).view_as(z)
        return ((centre + levels) / LEVELS).clamp(0, 1)

    def _nearest(self, z: Tensor) -> Tensor:
        """The nearest points of ball and box for L2 and L1, in float64: each pixel moves as z does,
        less far, and stops at the box.
        """
        x, z64 = self.x.double().flatten(1), z.double().flatten(1)
        room = torch.where(z64 > x, 1 - x, x)
        shorten = shorten_l2 if self.p == 2 else shorten_l1
        size = shorten((z64 - x).abs(), room, self.eps.double().view(-1, 1))
        return shift(self.x, size.copysign(z64 - x).view_as(z)).clamp(0, 1)

    def _signed(self, sizes: Tensor, rows: Generators) -> Tensor:
        """Sizes (B, n) as changes of the images, with random signs."""
        return sizes.view_as(self.x).copysign(uniform(rows, self.x.shape[1:], self.x))

    def _direction(self, rows: Generators) -> Tensor:
        direction = normal(rows, self.x.shape[1:], self.x)
        return direction / norm(direction, 2)


def radii(epsilon: float | Tensor, x: Tensor) -> Tensor:
    """Radii for a `Ball` around images.

    Args:
        epsilon: one radius for all rows or (B,), in pixel units, at least 0.
        x: images (B, C, H, W).

    Returns:
        (B, 1, 1, 1) float64 on the device of x, so that step sizes that are a share of epsilon are
        rounded only once.
    """
    exact = torch.as_tensor(epsilon, dtype=torch.float64, device=x.device)
    return exact.expand(len(x)).reshape(-1, 1, 1, 1)
