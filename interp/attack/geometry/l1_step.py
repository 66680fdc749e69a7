"""Steps within an L1 ball and the box of images, which give back what they take beyond the ball
where it gains least.
"""

import torch
from torch import Tensor


def fill_in_order(value: Tensor, room: Tensor, budget: Tensor) -> Tensor:
    """Spend a budget on entries, the most valuable first, each as far as it has room, the last of
    them in part: the fractional knapsack of entries that cost alike.

    Args:
        value: (B, n) what a unit of each entry is worth, in any sign.
        room: (B, n) how much each entry takes, at least 0.
        budget: (B, 1), at least 0.

    Returns:
        (B, n) what each entry gets, in the dtype of `room`; all of the budget if there is room.
    """
    order = value.argsort(dim=1, descending=True, stable=True)
    space = room.gather(1, order)
    spent = space.cumsum(1) - space
    part = torch.minimum((budget - spent).clamp_min(0), space)
    return torch.zeros_like(room).scatter(1, order, part)


def exchange(
    z: Tensor, x: Tensor, eps: Tensor, grad: Tensor, length: Tensor, pixels: Tensor
) -> Tensor:
    """Move along a gradient in the box, then return to the ball by moving pixels back towards its
    centre where that loses least, or gains.

    Both halves are the best there is for the slope of the gradient: pixels move in the order of
    their slopes, and return in the order of what a unit of their return gains. On a linear
    function, repeated steps of one pixel therefore end at the highest point of ball and box, their
    steepest step as Croce & Hein 2021 ("Mind the box") derive it. The nearest point of the ball, to
    which projected gradients return, would take from all pixels alike, from the best as from the
    worst.

    Args:
        z: (B, n) in ball and box.
        x: (B, n) the balls' centres, in [0, 1].
        eps: (B, 1) L1 radii.
        grad: (B, n), without entries that are no numbers.
        length: (B, 1) how far the move goes in L1, less where the box has no room for as much.
        pixels: (B, 1), at least 1: no pixel moves farther than `length` over this, so that at least
            so many share the move.

    Returns:
        (B, n) float64, what to add to z.
    """
    point, centre = z.double(), x.double()
    room = torch.where(grad > 0, 1 - point, torch.where(grad < 0, point, 0.0))
    forward = fill_in_order(grad.abs(), torch.minimum(room, length / pixels), length)
    moved = point - centre + forward * grad.sign()
    excess = (moved.abs().sum(1, keepdim=True) - eps).clamp_min(0)
    gained_back = -grad * moved.sign().to(grad)
    returned = fill_in_order(gained_back, moved.abs(), excess)
    return moved - returned * moved.sign() - (point - centre)
