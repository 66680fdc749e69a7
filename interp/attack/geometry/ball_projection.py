"""The arithmetic of balls: projections, random points of L1 balls, and rounding, so that no result
is farther away than it may be.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interp.seeds import Generators

TINY = 1e-30  # the least divisor, which float32 has too


def shift(x: Tensor, delta: Tensor) -> Tensor:
    """Add a change to images, rounded towards them: rounded to nearest, the sum may be farther away
    than the change is long.

    Args:
        x: (B, C, H, W).
        delta: of the same shape, float64.

    Returns:
        x + delta in the dtype of x.
    """
    z = (x.double() + delta).to(x)
    return torch.where((z.double() - x.double()).abs() > delta.abs(), torch.nextafter(z, x), z)


def spacings(rows: Generators, count: int, device: torch.device) -> Tensor:
    """Draw numbers of sum 1, uniform among such: the gaps between sorted uniform numbers (Devroye
    1986, section V.2).

    Args:
        rows: one generator a row.
        count: numbers a row.
        device: where they go.

    Returns:
        (B, count) float64.
    """
    cuts = np.sort(np.stack([g.random(count - 1) for g in rows]), axis=1)
    return torch.from_numpy(np.diff(cuts, axis=1, prepend=0, append=1)).to(device)


def shorten_l2(size: Tensor, room: Tensor, eps: Tensor) -> Tensor:
    """Compute min(t size, room) for the largest t in [0, 1] at which its length is at most eps.

    The square of that length is a quadratic in t between the knees, at which entries reach their
    room.

    Args:
        size: (B, n) how far entries would move, at least 0.
        room: (B, n) how far they can, at least 0.
        eps: (B, 1) L2 radii.

    Returns:
        (B, n) how far they move.
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


def stretch_l2(x: Tensor, delta: Tensor, eps: Tensor, rounds: int = 3) -> Tensor:
    """Draw out changes that the box stops: the pixels that it does not stop grow together, until
    the whole is as long as the ball allows.

    Every round stops at the box what has grown beyond it, so that the length comes from below.

    Args:
        x: images (B, C, H, W) in [0, 1].
        delta: changes of the same shape.
        eps: (B, 1, 1, 1) L2 radii.
        rounds: of growth, at least 1; few pixels are stopped anew after the first.

    Returns:
        Changes (B, C, H, W) with x + delta in the box, of length at most eps.
    """
    room = torch.where(delta > 0, 1 - x, x)
    for _ in range(rounds):
        free = delta.abs() < room
        moved = torch.where(free, delta, room.copysign(delta))
        powers = moved.square()
        grown = torch.where(free, powers, 0.0).sum((1, 2, 3), keepdim=True)
        left = (eps.square() - powers.sum((1, 2, 3), keepdim=True) + grown).clamp_min(0)
        delta = torch.where(free, moved * (left / grown.clamp_min(TINY)).sqrt(), moved)
    return torch.minimum(delta.abs(), room).copysign(delta)


def shorten_l1(size: Tensor, room: Tensor, eps: Tensor) -> Tensor:
    """Compute min(max(size - cut, 0), room) for the least cut >= 0 at which its sum is at most eps
    (as in Croce & Hein 2021).

    As the cut falls, entry i grows from size[i] on until it is full at size[i] - room[i], and
    between such edges the sum is linear.

    Args:
        size: (B, n) how far entries would move, at least 0.
        room: (B, n) how far they can, at least 0.
        eps: (B, 1) L1 radii.

    Returns:
        (B, n) how far they move.
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


def round_within(wanted: Tensor, radius: Tensor, p: float) -> Tensor:
    """Round to integers of a bounded norm.

    Args:
        wanted: (B, n).
        radius: (B, 1), the most that the norm may be.
        p: 2 or 1.

    Returns:
        (B, n) integers near `wanted`.
    """
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
