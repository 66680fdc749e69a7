"""Whether logits jump from an image to those beside it, one 8-bit level away in a few pixels.

A network may be the same function in every pass and have the gradient that it claims, and yet
mislead every attack: with noise that is seeded by the image itself, or with ripples finer than a
level. What it is seen from, then, is that a step which hardly matters changes the logits, or
changes them otherwise than the gradient says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interp.attack.ball import LEVELS
from interp.audit.checks.check import LEVEL, TOLERATED, Check, check, count, excess, probability
from interp.objective import Objective
from interp.probe import Probe, Procedure
from interp.seeds import Generators

ONE_LEVEL = "one-level-steps"
SOURCE = "Athalye et al. 2018, sections 3.1 and 4, at the distance of one level"
DRAWS, MOST = 3, 2  # sets of pixels, and how many of them have to be amiss
FEWEST, SHARE = 8, 1 / 384  # pixels of a set: at least, and of all
OFF = 0.5  # how far the margin may be off, of the root of the sum of squares of what pixels give


@dataclass(frozen=True, eq=False)
class LinearPrediction:
    """What is known of a score at some images.

    Attributes:
        x: (B, C, H, W) in [0, 1].
        objective: the score.
        score: (B,) of x.
        grad: (B, C, H, W) of the score.
        noise: (B,) by how much rounding may change the score.
    """

    x: Tensor
    objective: Objective
    score: Tensor
    grad: Tensor
    noise: Tensor


def jumps(start: LinearPrediction, rows: Generators) -> Procedure[Tensor]:
    """Find out at which images a score jumps across a level.

    A few random pixels move by a level each, up or down by chance. The score is to change by the
    mean of what the gradients at both ends say, up to `OFF` of the size that such sums of random
    signs have, and up to rounding. At an image where most of `DRAWS` sets of pixels are amiss it
    jumps. The trapezoidal rule leaves errors of third order where a network is smooth, and of the
    kinks that are crossed where it is piecewise linear: measured on sound networks at most 0.4 of
    that size, while noise seeded by the image gives 10 to 10,000 times as much.

    Args:
        start: what is known of the images.
        rows: one generator an image.

    Returns:
        A procedure whose result is (B,) bool.
    """
    amiss = torch.zeros_like(start.score)
    for _ in range(DRAWS):
        beside = one_level_away(start.x, rows)
        answer = yield Probe(beside, start.objective, logits=True)
        assert answer.score is not None
        assert answer.grad is not None
        step = beside - start.x
        said = (step * (start.grad + answer.grad.to(step)) / 2).flatten(1).sum(1)
        size = (step * start.grad).flatten(1).square().sum(1).sqrt()
        off = (answer.score.to(said) - start.score - said).abs()
        amiss += ~(off <= OFF * size + start.noise)
    return amiss >= MOST


def one_level_away(x: Tensor, rows: Generators) -> Tensor:
    """Draw images that are one 8-bit level away in a few random pixels, up or down by chance where
    the box has room for both.

    Args:
        x: (B, C, H, W) in [0, 1].
        rows: one generator an image.

    Returns:
        (B, C, H, W) in [0, 1], of 8-bit levels if x is.
    """
    pixels = x[0].numel()
    moved = min(pixels, max(FEWEST, int(SHARE * pixels)))
    step = np.zeros((len(x), pixels), dtype=np.float32)
    for row, generator in enumerate(rows):
        chosen = generator.choice(pixels, moved, replace=False)
        step[row, chosen] = generator.choice((-1.0, 1.0), moved)
    drawn = torch.from_numpy(step).to(x).view_as(x)
    level = (x * LEVELS).round() if _of_levels(x) else x * LEVELS
    drawn = torch.where((level + drawn < 0) | (level + drawn > LEVELS), -drawn, drawn)
    return (level + drawn) / LEVELS


def _of_levels(x: Tensor) -> bool:
    return bool(((x * LEVELS).round() / LEVELS == x).all())


def jump_check(jumping: Tensor, trials: int, where: str) -> Check:
    """Judge how many images jump: `excess` of `TOLERATED`, at `LEVEL`.

    Args:
        jumping: (B,) bool.
        trials: images that have a gradient.
        where: what to add to the check's name.
    """
    found = count(jumping)
    p = excess(found, trials)
    evidence = (
        f"For {found} of {trials} images with a gradient, random pixels that move by one 8-bit "
        f"level change the margin by something else than the gradients there say; "
        f"{TOLERATED:.0%} are tolerated ({probability(p)})."
    )
    return check(
        ONE_LEVEL + where, p <= LEVEL, evidence, SOURCE, jumping=found, trials=trials, p_value=p
    )


def logits_jump(checks: Sequence[Check]) -> bool:
    """Say whether some check found that logits jump across a level.

    Args:
        checks: of an audit on one network.
    """
    return any(one.status == "failed" and one.name.startswith(ONE_LEVEL) for one in checks)
