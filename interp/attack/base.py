"""Adversarial examples: FGSM and PGD in Linf, L2 and L1, and how any search becomes an attack."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from interp.ascent import Ascent, Summit, ascend
from interp.attack.ball import LEVELS, Ball
from interp.attack.evaluate import NOISE as NOISE
from interp.attack.evaluate import Aim as Aim
from interp.attack.evaluate import Attacked as Attacked
from interp.attack.evaluate import Randomness, set_out, verdict
from interp.attack.goal import CROSS_ENTROPY, Choice, Goal, Loss
from interp.attack.search import Search, in_turn
from interp.probe import Procedure
from interp.seeds import Generators
from interp.step import Step, momentum, sign, sparse, unit

# L1: of the pixels, how many a step moves; fewer get stuck at the box, more waste what epsilon
# allows
SHARE = 0.05


@dataclass(frozen=True, eq=False)
class Method:
    """A search and the ball that it searches.

    Attributes:
        epsilon: radius of the ball in pixel units of [0, 1], at least 0; or (B,), the rows' own.
        p: `math.inf`, 2 or 1, the norm.
        spare: rows that are at their goal before the attack are left as they are.
        starts_at_x: the search's first gradient is that of the clean images, which spares a look at
            them.
        name, settings: what the search is called, and everything that it was given.
    """

    epsilon: float | Tensor
    p: float
    search: Search
    spare: bool = True
    starts_at_x: bool = False
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def fgsm(
    epsilon: float | Tensor,
    p: float = math.inf,
    keep_best: bool = False,
    loss: Loss = CROSS_ENTROPY,
) -> Method:
    """One step of size epsilon along the gradient's sign, or for L2 along the gradient (Goodfellow
    et al. 2015, section 4).

    For L1: along the largest twentieth of its entries, see `interp.step.sparse`.
    """
    one_step = pgd(
        epsilon,
        p,
        epsilon,
        1,
        random_start=False,
        keep_best=keep_best,
        stop_when_fooled=False,
        loss=loss,
    )
    return replace(one_step, name="fgsm", settings={"keep_best": keep_best, "loss": loss.name})


def pgd(
    epsilon: float | Tensor,
    p: float = math.inf,
    step: float | Tensor | None = None,
    steps: int | Tensor = 40,
    random_start: bool = True,
    keep_best: bool = True,
    stop_when_fooled: bool = True,
    restarts: int = 1,
    decay: float | None = None,
    loss: Loss = CROSS_ENTROPY,
) -> Method:
    """Projected gradient descent (Madry et al. 2018, section 2.1); `step` defaults to 2.5 epsilon /
    steps, as there.

    Args:
        epsilon, step, steps: one for all rows, or (B,).
        keep_best: return the first iterate at the goal, else the one with the highest loss;
            otherwise the last iterate.
        restarts: attempts, at least 1, each on the rows that none before it has brought to their
            goal.
        decay: mu of a momentum of gradients, at least 0, which makes it MI-FGSM (Dong et al. 2018);
            None: none.
        loss: what is raised.
    """
    size = 2.5 * epsilon / steps if step is None else step

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[Summit]:
        problem = Ascent(
            replace(ball, random_start=random_start),
            goal.objective(loss),
            rule(p, ball.of_row(size), decay),
            int(steps.max()) if isinstance(steps, Tensor) else steps,
            limits=ball.own(steps) if isinstance(steps, Tensor) else None,
            done=lambda answer, chosen: goal.take(chosen).reached(answer),
            logits=goal.logits,
            leave=stop_when_fooled,
            keep_best=keep_best,
        )
        return (yield from ascend(problem, rows))

    settings = {
        "step": _told(size),
        "steps": _told(steps),
        "random_start": random_start,
        "keep_best": keep_best,
        "stop_when_fooled": stop_when_fooled,
        "restarts": restarts,
        "decay": decay,
        "loss": loss.name,
    }
    spare = keep_best or stop_when_fooled
    return Method(
        epsilon, p, in_turn([search] * restarts, loss), spare, not random_start, "pgd", settings
    )


def _told(value: float | Tensor) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value


def rule(p: float, step: Tensor | float, decay: float | None = None) -> Step:
    """Steps of a size that is steep in a norm, with a momentum if there is a `decay`."""
    steep = sign(step) if p == math.inf else unit(step) if p == 2 else sparse(step, SHARE)
    return steep if decay is None else momentum(steep, decay)


def attack(
    x: Tensor,
    labels: Tensor | None,
    method: Method,
    *,
    targets: Tensor | Choice | None = None,
    unit: Aim | None = None,
    seed: int = 0,
    first_row: int = 0,
    seeds: Sequence[tuple[int, int]] | None = None,
    eight_bit: bool = False,
    noise_control: bool = False,
) -> Procedure[Attacked]:
    """Attack images x (B, C, H, W) in [0, 1] with true `labels` (B,), or None for the network's own
    predictions.

    Args:
        targets: (B,) classes that the images should be taken for, or how to choose them; None: any
            class but the label.
        unit: attack this activation instead of the class, see `interp.attack.goal.silence` and
            `drive`.
        seed, first_row: row i draws its randomness from (seed, first_row + i).
        seeds: one pair a row; row i draws it from seeds[i] instead.
        eight_bit: round x and the result to multiples of 1/255, the result inside the ball.
    """
    x = (x * LEVELS).round() / LEVELS if eight_bit else x
    ball = Ball(x, radii(method.epsilon, x), method.p, eight_bit=eight_bit)
    randomness = Randomness(seed, first_row, seeds)
    task = yield from set_out(x, labels, targets, unit, randomness, not method.starts_at_x)
    todo = torch.arange(len(x), device=x.device)
    if task.clean is not None and method.spare:
        todo = todo[~task.goal.reached(task.clean)]  # the others need no perturbation
    summit = Summit(x[:0], torch.ones_like(todo[:0], dtype=torch.bool), None, 0)
    if len(todo):
        rows = randomness.generators(len(x))
        summit = yield from method.search(
            ball.take(todo), task.goal.take(todo), [rows[i] for i in todo.tolist()]
        )
    images = x.index_copy(0, todo, summit.images.to(x))
    return (
        yield from verdict(
            task,
            ball,
            images,
            summit,
            randomness.generators(len(x), NOISE) if noise_control else None,
        )
    )


def radii(epsilon: float | Tensor, x: Tensor) -> Tensor:
    """Epsilon, one for all rows or (B,), as (B, 1, 1, 1)."""
    return (
        torch.as_tensor(epsilon, dtype=x.dtype, device=x.device).expand(len(x)).reshape(-1, 1, 1, 1)
    )
