"""The shortest way to a hyperplane within the box of images, FAB's step.

Croce & Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary attack",
section 3.1.
"""

import torch
from torch import Tensor


def shortest_move(t: Tensor, w: Tensor, rise: Tensor, p: float) -> Tensor:
    """Find the least move d from points to the plane w . d = rise that stays in the box [0, 1]
    (section 3.1 of the paper).

    Args:
        t: points (..., n) in [0, 1].
        w: (..., n) normals of the planes, broadcastable to t.
        rise: (..., 1) how much w . d has to be.
        p: the norm in which the move is least, `math.inf`, 2 or 1.

    Returns:
        (..., n) moves d with t + d in [0, 1]; where the box ends before the plane, the move that
        comes nearest to it.
    """
    way = w * rise.sign()
    room = torch.where(way > 0, 1 - t, torch.where(way < 0, t, 0.0))
    size = (
        _largest_weight_first(w.abs(), room, rise.abs())
        if p == 1
        else _grow_together(w.abs(), room, rise.abs(), p)
    )
    return size * way.sign()


def _grow_together(weight: Tensor, room: Tensor, rise: Tensor, p: float) -> Tensor:
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


def _largest_weight_first(weight: Tensor, room: Tensor, rise: Tensor) -> Tensor:
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
