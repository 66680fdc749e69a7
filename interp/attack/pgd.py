"""FGSM and PGD in Linf, L2 and L1 (Goodfellow et al. 2015; Madry et al. 2018; Dong et al. 2018)."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from interp.ascent import Ascent, AscentResult, ascend
from interp.attack.ball import Ball
from interp.attack.base import Method, method_label
from interp.attack.geometry.l1_step import exchange
from interp.attack.goal import CROSS_ENTROPY, Goal, Loss
from interp.attack.search import Search, in_turn
from interp.probe import Procedure
from interp.seeds import Generators
from interp.step import Move, Step, momentum, sign, unit

# L1: of the pixels, how many share the first step; the last is one pixel's
SHARE = 0.01
SINGLE_SHARE = 0.05  # of an only step, FGSM's
# L1: mu where none is given, since one gradient says too little about where few pixels should go
STEADY = 0.75
OVERSHOOT = 2.5  # what the steps add up to by default, in radii, as in Madry et al. 2018
DEFAULT_STEP = "2.5 epsilon / steps"
Size = Callable[[Ball], float | Tensor]  # the length of a step in a ball


def fgsm(keep_best: bool = False, loss: Loss = CROSS_ENTROPY) -> Method:
    """Make FGSM, one step of size epsilon (Goodfellow et al. 2015, section 4).

    For Linf the step goes along the gradient's sign, for L2 along the gradient, for L1 evenly along
    the largest twentieth of its entries, as far as the box lets each; the next largest get the
    rest.

    Args:
        keep_best: return the clean image where the step lowers the loss without reaching the goal;
            otherwise always the image after the step.
        loss: what is raised.
    """
    return Method(
        _search(lambda ball: ball.eps, 1, False, keep_best, False, None, loss, SINGLE_SHARE),
        name="fgsm",
        settings={"keep_best": keep_best, "loss": loss.name},
        label=method_label("FGSM", loss=None if loss is CROSS_ENTROPY else loss.name),
        classes_needed=loss.classes_needed,
        skip_reached=keep_best,
        starts_at_x=True,
    )


def pgd(
    step: float | Tensor | None = None,
    steps: int | Tensor = 40,
    random_start: bool = True,
    keep_best: bool = True,
    stop_when_fooled: bool = True,
    restarts: int = 1,
    decay: float | None = None,
    loss: Loss = CROSS_ENTROPY,
) -> Method:
    """Make projected gradient descent (Madry et al. 2018, section 2.1).

    Args:
        step: length of a step in the ball's norm and pixel units, one for all rows or (B,); None:
            2.5 epsilon / steps, as in the paper.
        steps: gradient steps, at least 1, one number for all rows or (B,).
        random_start: begin at a random point of the ball instead of x.
        keep_best: return the first iterate at the goal, else the one with the highest loss;
            otherwise the last iterate.
        stop_when_fooled: a row leaves with its first iterate at the goal.
        restarts: attempts, at least 1, each on the rows that none before it has brought to their
            goal.
        decay: mu of a momentum of gradients, at least 0, which makes it MI-FGSM (Dong et al. 2018);
            None: no momentum, but 0.75 for L1, see `steepest_step`.
        loss: what is raised.
    """

    def size(ball: Ball) -> float | Tensor:
        if step is not None:
            return ball.of_row(step)
        count = ball.own(steps).view(-1, 1, 1, 1) if isinstance(steps, Tensor) else steps
        return (OVERSHOOT * ball.epsilon / count).to(ball.x.dtype)

    search = _search(size, steps, random_start, keep_best, stop_when_fooled, decay, loss)
    return Method(
        in_turn([search] * restarts, loss),
        name="pgd",
        settings={
            "step": DEFAULT_STEP if step is None else _plain(step),
            "steps": _plain(steps),
            "random_start": random_start,
            "keep_best": keep_best,
            "stop_when_fooled": stop_when_fooled,
            "restarts": restarts,
            "decay": decay,
            "loss": loss.name,
        },
        label=method_label(
            "PGD",
            steps if isinstance(steps, int) else None,
            loss=None if loss is CROSS_ENTROPY else loss.name,
            decay=decay,
            random_start=random_start,
            restarts=restarts,
        ),
        classes_needed=loss.classes_needed,
        skip_reached=keep_best or stop_when_fooled,
        starts_at_x=not random_start,
    )


def _search(
    size: Size,
    steps: int | Tensor,
    random_start: bool,
    keep_best: bool,
    stop_when_fooled: bool,
    decay: float | None,
    loss: Loss,
    share: float = SHARE,
) -> Search:
    """The search of `pgd`, whose steps have a `size` that may depend on the ball."""

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        own_steps = ball.own(steps) if isinstance(steps, Tensor) else steps
        problem = Ascent(
            replace(ball, random_start=random_start),
            goal.objective(loss),
            steepest_step(ball, size(ball), own_steps, decay, share=share),
            int(steps.max()) if isinstance(steps, Tensor) else steps,
            limits=own_steps if isinstance(own_steps, Tensor) else None,
            done=lambda answer, chosen: goal.take(chosen).reached(answer),
            logits=goal.logits,
            stop_when_done=stop_when_fooled,
            keep_best=keep_best,
        )
        return (yield from ascend(problem, rows))

    return search


def _plain(value: float | Tensor) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value


def steepest_step(
    ball: Ball,
    size: float | Tensor,
    steps: int | Tensor,
    decay: float | None = None,
    falling: bool = False,
    share: float = SHARE,
) -> Step:
    """Make the step rule that rises steeply under a ball's norm.

    Args:
        ball: where the steps go.
        size: mean length of a step in the ball's norm, pixel units, one number or (B, 1, 1, 1).
        steps: how many there will be, one number for all rows or (B,).
        decay: mu of a momentum of gradients, at least 0; None: no momentum, but `STEADY` for L1.
        falling: steps fall evenly from nearly twice `size` to nearly nothing: far at first, with
            care at last. Otherwise all are of one size.
        share: of the pixels, in (0, 1], how many share the first step in L1.
    """

    def start(z: Tensor) -> Move:
        taken, count = 0, torch.as_tensor(steps, device=z.device).view(-1, 1, 1, 1).to(z)

        def move(z: Tensor, grad: Tensor) -> Tensor:
            nonlocal taken
            length = size * (2 - (2 * taken + 1) / count) if falling else size
            left = (1 - taken / (count - 1).clamp_min(1)).clamp_min(0)
            taken += 1
            if ball.p == 1:
                return _exchange(ball, length, share, left)(z, grad)
            return (sign(length) if ball.p == math.inf else unit(length))(z)(z, grad)

        return move

    if decay is None:
        return momentum(start, STEADY) if ball.p == 1 else start
    return momentum(start, decay)


def _exchange(ball: Ball, length: float | Tensor, share: float, left: Tensor) -> Move:
    """The move of one L1 step, in which a share of the pixels takes part where the share of steps
    that are `left`, (B or 1, 1, 1, 1), is 1, one pixel where that is 0, and geometrically between.

    The highest point of a linear network has few pixels filled as far as the box lets them, which
    steps of few pixels reach; on a network that bends, steps of many lead farther.
    """
    most = max(round(share * ball.x[0].numel()), 1)
    pixels = (most**left).double().view(-1, 1)

    def move(z: Tensor, grad: Tensor) -> Tensor:
        size = torch.as_tensor(length, dtype=torch.float64, device=z.device).view(-1, 1)
        eps = ball.epsilon.double().view(-1, 1)
        slope = grad.nan_to_num().flatten(1)
        change = exchange(z.flatten(1), ball.x.flatten(1), eps, slope, size, pixels)
        return change.view_as(z).to(z)

    return move
