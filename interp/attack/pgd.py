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
from interp.attack.goal import CROSS_ENTROPY, Goal, Loss
from interp.attack.search import Search, in_turn
from interp.probe import Procedure
from interp.seeds import Generators
from interp.step import Move, Step, momentum, sign, sparse, unit

# L1: of the pixels, how many the first step moves; the last moves one. Fewer follow a single
# gradient too far, more waste what epsilon allows
SHARE = 0.05
OVERSHOOT = 2.5  # what the steps add up to by default, in radii, as in Madry et al. 2018
DEFAULT_STEP = "2.5 epsilon / steps"
Size = Callable[[Ball], float | Tensor]  # the length of a step in a ball


def fgsm(keep_best: bool = False, loss: Loss = CROSS_ENTROPY) -> Method:
    """Make FGSM, one step of size epsilon (Goodfellow et al. 2015, section 4).

    For Linf the step goes along the gradient's sign, for L2 along the gradient, for L1 along the
    largest twentieth of its entries, see `interp.step.sparse`.

    Args:
        keep_best: return the clean image where the step lowers the loss without reaching the goal;
            otherwise always the image after the step.
        loss: what is raised.
    """
    return Method(
        _search(lambda ball: ball.eps, 1, False, keep_best, False, None, loss),
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
            None: no momentum.
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
) -> Search:
    """The search of `pgd`, whose steps have a `size` that may depend on the ball."""

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        own_steps = ball.own(steps) if isinstance(steps, Tensor) else steps
        problem = Ascent(
            replace(ball, random_start=random_start),
            goal.objective(loss),
            steepest_step(ball.p, size(ball), decay, own_steps),
            int(steps.max()) if isinstance(steps, Tensor) else steps,
            limits=own_steps if isinstance(own_steps, Tensor) else None,
            follow=follow_in_box if ball.p == 1 else None,
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
    p: float, size: float | Tensor, decay: float | None = None, steps: int | Tensor = 1
) -> Step:
    """Make the step rule that rises steeply under a norm.

    Args:
        p: `math.inf`, 2 or 1.
        size: length of a step in that norm, pixel units, one number or (B, 1, 1, 1).
        decay: mu of a momentum of gradients, at least 0; None: no momentum.
        steps: how many there will be, one number for all rows or (B,), which L1 steps depend on.
    """
    steep = sign(size) if p == math.inf else unit(size) if p == 2 else narrowing_step(size, steps)
    return steep if decay is None else momentum(steep, decay)


def narrowing_step(size: float | Tensor, steps: int | Tensor) -> Step:
    """Make L1 steps that move a twentieth of the pixels at first, evenly fewer, and one at last.

    The best perturbation fills few pixels as far as the box lets it. Steps of many pixels find
    which these are, and leave something in each that the last steps collect.

    Args:
        size: L1 length of a step in pixel units, one number or (B, 1, 1, 1).
        steps: how many there will be, one number for all rows or (B,).
    """
    last = torch.as_tensor(steps).sub(1).clamp_min(1).view(-1, 1, 1, 1)

    def start(z: Tensor) -> Move:
        taken = 0

        def move(grad: Tensor) -> Tensor:
            nonlocal taken
            share = SHARE * (1 - taken / last.to(grad)).clamp_min(0)
            taken += 1
            return sparse(size, share)(z)(grad)

        return move

    return start


def follow_in_box(z: Tensor, grad: Tensor) -> Tensor:
    """Take from gradients what leads out of the box of images [0, 1] at once.

    Args:
        z, grad: (B, C, H, W).

    Returns:
        (B, C, H, W): the gradient, 0 where z is at an edge that it points beyond.
    """
    stuck = ((z >= 1) & (grad > 0)) | ((z <= 0) & (grad < 0))
    return grad.masked_fill(stuck, 0)
