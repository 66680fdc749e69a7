"""The threat models: the images within epsilon of x in a norm, and within [0, 1]."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interp.norms import norm
from interp.seeds import Generators, normal, uniform

LEVELS = 255  # of an 8-bit image
LONGEST, HALVINGS = (
    20.0,
    40,
)  # of noise: how often it is doubled at most, and how precisely it is drawn out


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
        """The entries (B,) of these rows in a setting (larger batch,)."""
        return (
            values.to(self.x.device) if self.rows is None else values.to(self.x.device)[self.rows]
        )

    def of_row(self, value: float | Tensor) -> float | Tensor:
        """A setting for these rows: itself if it holds for all, else `own` as (B, 1, 1, 1)."""
        return (
            self.own(value).to(self.x.dtype).view(-1, 1, 1, 1)
            if isinstance(value, Tensor)
            else value
        )

    def start(self, rows: Generators) -> Tensor:
        """x itself, or a random point: uniform in the box for Linf (Madry et al. 2018), uniform in
        the ball for L2 and L1.
        """
        if not self.random_start:
            return self.x.clone()
        if self.p == math.inf:
            return self.project(self.x + self.eps * uniform(rows, self.x.shape[1:], self.x))
        if self.p == 1:
            spacings = _spacings(rows, self.x[0].numel() + 1, self.x.device)[
                :, :-1
            ]  # the last is the distance to the sphere
            return self.project(_shift(self.x, self.eps * self._signed(spacings, rows)))
        radius = uniform(rows, (1, 1, 1), self.x).add(1).div(2) ** (1 / self.x[0].numel())
        return self.project(self.x + self.eps * radius * self._direction(rows))

    def image(self, z: Tensor) -> Tensor:
        """z itself, or the 8-bit image nearest to it; the gradient is that of z itself."""
        return self.round(z).detach() + (z - z.detach()) if self.eight_bit else z

    def project(self, z: Tensor) -> Tensor:
        """The points of ball and box nearest to z; for L2 unless `exact`: nearest in the ball, then
        cut to the box.
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
        """Noise as large as an attack may be: random signs for Linf, a random direction for L2,
        uniform on the sphere for L1.

        The box cuts it; for L2 and L1 it is drawn out until its length is eps in spite of that, if
        the box has room for as much. Of 8-bit images, where rounding would leave nothing of little
        noise, it is as near to eps as levels allow.
        """
        if self.p == math.inf:
            return (self.x + self.eps * uniform(rows, self.x.shape[1:], self.x).sign()).clamp(0, 1)
        if self.p == 1:
            delta = self.eps * self._signed(_spacings(rows, self.x[0].numel(), self.x.device), rows)
            noisy = _shift(self.x, delta).clamp(0, 1)
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
        z = _shift(self.x, log.exp2() * delta).clamp(0, 1)
        return (z * LEVELS).round() / LEVELS if self.eight_bit else z

    def _holds(self, images: Tensor) -> Tensor:
        """(B, 1, 1, 1) bool: which images the ball holds, those of 8-bit levels by whole levels,
        others in float64.
        """
        if self.eight_bit:
            return norm(((images - self.x) * LEVELS).round(), self.p) <= self._budget
        return norm(images.double() - self.x.double(), self.p) <= self.eps.double()

    def distance(self, images: Tensor) -> Tensor:
        """How far images are from x, (B,); of 8-bit images by whole levels, so that 8/255 is no
        more than 8/255.
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
        """The images of 8-bit levels (multiples of 1/255) nearest to z that lie in the ball; x must
        be such an image itself.

        Linf: levels are cut to those within eps. L2 and L1: each level is the nearest, then as many
        of those that were rounded away from x as needed are rounded towards it, the closest calls
        first, until the norm is at most eps.
        """
        centre = (self.x * LEVELS).round()
        wanted = z * LEVELS - centre
        budget = self._budget
        if self.p == math.inf:
            levels = torch.minimum(torch.maximum(wanted.round(), -budget.floor()), budget.floor())
        else:
            levels = _round_within(wanted.flatten(1), budget.view(-1, 1), self.p).view_as(z)
        return ((centre + levels) / LEVELS).clamp(0, 1)

    def _nearest(self, z: Tensor) -> Tensor:
        """The nearest points of ball and box for L2 and L1, in float64: each pixel moves as z does,
        less far, and stops at the box.
        """
        x, z64 = self.x.double().flatten(1), z.double().flatten(1)
        room = torch.where(z64 > x, 1 - x, x)
        shorten = _shorten_l2 if self.p == 2 else _shorten_l1
        size = shorten((z64 - x).abs(), room, self.eps.double().view(-1, 1))
        return _shift(self.x, size.copysign(z64 - x).view_as(z)).clamp(0, 1)

    def _signed(self, sizes: Tensor, rows: Generators) -> Tensor:
        """Sizes (B, n) as changes of the images, with random signs."""
        return sizes.view_as(self.x).copysign(uniform(rows, self.x.shape[1:], self.x))

    def _direction(self, rows: Generators) -> Tensor:
        direction = normal(rows, self.x.shape[1:], self.x)
        return direction / norm(direction, 2)


def _shift(x: Tensor, delta: Tensor) -> Tensor:
    """x + delta in the dtype of x, rounded towards x: rounded to nearest it may be further away
    than delta, which is float64, is long.
    """
    z = (x.double() + delta).to(x)
    return torch.where((z.double() - x.double()).abs() > delta.abs(), torch.nextafter(z, x), z)


def _spacings(rows: Generators, count: int, device: torch.device) -> Tensor:
    """(B, count) float64 numbers of sum 1, uniform among such: the gaps between sorted uniform
    numbers (Devroye 1986, section V.2).
    """
    cuts = np.sort(np.stack([g.random(count - 1) for g in rows]), axis=1)
    return torch.from_numpy(np.diff(cuts, axis=1, prepend=0, append=1)).to(device)


def _shorten_l2(size: Tensor, room: Tensor, eps: Tensor) -> Tensor:
    """min(t size, room) for the largest t in [0, 1] at which its length is at most eps; all but eps
    (B, 1) are (B, n), >= 0.

    The square of that length is a quadratic in t between the knees, at which entries reach their
    room.
    """
    room = torch.minimum(room, size)
    knee, order = (room / size.clamp_min(torch.finfo(size.dtype).tiny)).sort(1)
    full = F.pad(
        room.square().gather(1, order).cumsum(1), (1, 0)
    )  # (B, n + 1) what the first k entries add when full
    free = F.pad(
        size.square().gather(1, order).flip(1).cumsum(1).flip(1), (0, 1)
    )  # (B, n + 1) what the others add, over t^2
    passed = (full[:, :-1] + knee.square() * free[:, :-1] <= eps.square()).sum(1, keepdim=True)
    left = (eps.square() - full.gather(1, passed)).clamp_min(0)
    t = (left / free.gather(1, passed).clamp_min(torch.finfo(size.dtype).tiny)).sqrt().clamp_max(1)
    t = torch.maximum(
        t, F.pad(knee, (1, 0)).gather(1, passed)
    )  # not before the knee that was passed, whatever the rounding
    return torch.minimum(t * size, room)


def _shorten_l1(size: Tensor, room: Tensor, eps: Tensor) -> Tensor:
    """min(max(size - cut, 0), room) for the least cut >= 0 at which its sum is at most eps (as in
    Croce & Hein 2021).

    All but eps (B, 1) are (B, n), >= 0. As the cut falls, entry i grows from size[i] on until it is
    full at size[i] - room[i], and between such edges the sum is linear.
    """
    room = torch.minimum(room, size)
    edge, order = torch.cat([size, size - room], 1).sort(1, descending=True)
    growing = torch.where(order < size.shape[1], 1.0, -1.0).to(size).cumsum(1)
    total = F.pad(
        (growing[:, :-1] * (edge[:, :-1] - edge[:, 1:])).cumsum(1), (1, 0)
    )  # (B, 2 n) the sum at each edge
    last = (total <= eps).sum(1, keepdim=True) - 1
    cut = edge.gather(1, last) - (eps - total.gather(1, last)) / growing.gather(1, last).clamp_min(
        1
    )
    moved = torch.minimum((size - cut.clamp_min(0)).clamp_min(0), room)
    free = torch.where(moved < room, moved, 0.0)  # these pay for what the subtraction rounded up
    over = (moved.sum(1, keepdim=True) - eps).clamp_min(0)
    return moved - free * (
        over / free.sum(1, keepdim=True).clamp_min(torch.finfo(size.dtype).tiny)
    ).clamp_max(1)


def _round_within(wanted: Tensor, radius: Tensor, p: float) -> Tensor:
    """Integers near `wanted` (B, n) whose p-norm, of p 2 or 1, is at most `radius` (B, 1)."""
    towards = wanted.trunc()
    nearest = wanted.round()
    away = (
        nearest != towards
    )  # rounded away from zero; taking that back saves |nearest|^p - (|nearest| - 1)^p
    overshoot = nearest.abs().pow(p).sum(1, keepdim=True) - radius.pow(p)
    fraction = torch.where(away, (wanted - towards).abs(), torch.inf)
    order = fraction.argsort(1)  # from the closest call (one half) upwards
    saving = torch.where(away, nearest.abs().pow(p) - (nearest.abs() - 1).pow(p), 0.0).gather(
        1, order
    )
    saved_before = saving.cumsum(1) - saving
    taken_back = torch.zeros_like(away).scatter(1, order, saved_before < overshoot)
    levels = torch.where(taken_back & away, towards, nearest)
    too_long = levels.abs().pow(p).sum(1, keepdim=True) > radius.pow(p)
    shrunk = wanted * (radius / wanted.norm(p, dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1)
    return torch.where(too_long, shrunk.trunc(), levels)


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
