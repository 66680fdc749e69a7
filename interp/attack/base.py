"""How any search becomes an attack: a method with its settings, run on a batch and evaluated."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.ball import LEVELS, Ball, radii
from interp.attack.evaluate import (
    NOISE,
    AdversarialExamples,
    RowSeeds,
    UnitTarget,
    attack_problem,
    evaluate,
)
from interp.attack.goal import Choice
from interp.attack.search import Search
from interp.probe import Procedure, on_rows


@dataclass(frozen=True, eq=False)
class Method:
    """A way to attack, whatever the ball: neither an epsilon nor a norm is part of it.

    Attributes:
        search: looks for points at a goal in the ball that it is given.
        name: what the method is called in reports, "pgd".
        settings: every setting of the method by name, the defaults included.
        label: what tables call the method, with its budget and with what is not its default,
            "PGD-40 margin x5", see `method_label`.
        classes_needed: of a network, the fewest for which the method is what its paper describes;
            at least 2.
        attacks_units: the method also has goals that are units; otherwise classes alone.
        skip_reached: rows that are at their goal before the attack are returned as they are.
        starts_at_x: the search's first gradient is that of the clean images, which spares a forward
            pass to find out what they are taken for.
    """

    search: Search
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    classes_needed: int = 2
    attacks_units: bool = True
    skip_reached: bool = True
    starts_at_x: bool = False


def method_label(
    title: str,
    budget: object = None,
    *,
    loss: str | None = None,
    decay: float | None = None,
    random_start: bool = True,
    restarts: int = 1,
) -> str:
    """Compose the label that tells a method from others in a table: "PGD-40 margin x5".

    Args:
        title: the method's own name, "PGD".
        budget: steps or queries; None: it is no setting.
        loss: its name where it is not the method's default.
        decay: of a momentum.
        random_start: whether the method begins at a random point.
        restarts: attempts.
    """
    words = [title if budget is None else f"{title}-{budget}"]
    if decay is not None:
        words.append(f"decay {decay:g}")
    if loss is not None:
        words.append(loss)
    if not random_start:
        words.append("from x")
    if restarts > 1:
        words.append(f"x{restarts}")
    return " ".join(words)


def attack(
    x: Tensor,
    labels: Tensor | None,
    method: Method,
    *,
    epsilon: float | Tensor,
    p: float = math.inf,
    targets: Tensor | Choice | None = None,
    unit: UnitTarget | None = None,
    seed: int = 0,
    first_row: int = 0,
    seeds: Sequence[tuple[int, int]] | None = None,
    eight_bit: bool = False,
    noise_control: bool = False,
) -> Procedure[AdversarialExamples]:
    """Attack images within a ball around each of them, and evaluate what is found.

    Args:
        x: images (B, C, H, W) in [0, 1].
        labels: (B,) int64, the true classes; None: the network's own predictions.
        method: one of `interp.attack.registry.ATTACKS`, or a `Method` of your own.
        epsilon: radius of the ball in pixel units of [0, 1], at least 0, one for all rows or (B,).
        p: the norm of the ball, `math.inf`, 2 or 1.
        targets: (B,) int64, classes that the images should be taken for, or how to choose them;
            None: any class but the label.
        unit: attack this activation instead of the class, see `interp.attack.goal.silence` and
            `drive`.
        seed: of all randomness, from 0 to 2^62 - 1.
        first_row: row i draws its randomness from (seed, first_row + i).
        seeds: one pair a row; row i draws from `seeds[i]` instead.
        eight_bit: round x and the result to multiples of 1/255, the result inside the ball.
        noise_control: also evaluate random noise as large as the attack may be.

    Returns:
        A procedure whose result is the adversarial images and their evaluation, row by row. A row
        on which the network's answers are no numbers is named in `failure`, and costs itself alone.
    """
    x = (x * LEVELS).round() / LEVELS if eight_bit else x
    ball = Ball(x, radii(epsilon, x), p, eight_bit=eight_bit)
    randomness = RowSeeds(seed, first_row, seeds)
    problem = yield from attack_problem(
        x, labels, targets, unit, randomness, not method.starts_at_x
    )
    (todo,) = (~problem.unanswered.rows).nonzero(as_tuple=True)
    if problem.clean is not None and method.skip_reached:
        # the others need no perturbation
        todo = todo[~problem.goal.reached(problem.clean)[todo]]
    found = AscentResult(x[:0], torch.ones_like(todo[:0], dtype=torch.bool), None, 0)
    if len(todo):
        rows = randomness.generators(len(x))
        search = method.search(
            ball.take(todo), problem.goal.take(todo), [rows[i] for i in todo.tolist()]
        )
        found = yield from problem.unanswered.watch(on_rows(search, todo))
    images = x.index_copy(0, todo, found.images.to(x))
    noise = randomness.generators(len(x), NOISE) if noise_control else None
    return (yield from evaluate(problem, ball, images, found, noise))
