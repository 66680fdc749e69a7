"""FAB after another search: images that fool and are nearer than those it found."""

from dataclasses import replace

import torch
from torch import Tensor

from interp.attack.ball import LEVELS, Ball
from interp.attack.evaluate import evaluation_probe
from interp.attack.fab import MinimalPerturbation, fab_minimal
from interp.attack.goal import Goal
from interp.probe import Procedure


def fab_nearer(
    ball: Ball, goal: Goal, least: Tensor, steps: int, target_classes: int = 9
) -> Procedure[MinimalPerturbation]:
    """Look with FAB for images at a goal that are nearer than known ones.

    What FAB finds counts as it is returned: of 8-bit images the one nearest to the point found,
    else the one whose levels are rounded away from x, if that is at the goal and nearer.

    Args:
        ball: the centres x, the norm, and the largest distance that counts.
        goal: of classes.
        least: (B,) distances of the known images, infinite where there is none.
        steps: of FAB, gradients a row and target class, at least 1.
        target_classes: how many of the most probable wrong classes are tried.

    Returns:
        A procedure whose result is the nearer images; of other rows x, and an infinite distance.

    Raises:
        ValueError: the goal is not one of classes.
    """
    found = yield from fab_minimal(ball.x, goal, ball.p, steps, target_classes)
    images, distance = ball.x.clone(), torch.full_like(least, torch.inf)
    for candidate in _as_returned(ball, found.images):
        size = ball.distance(candidate)
        (near,) = (
            found.distance.isfinite() & (size <= ball.eps.flatten()) & (size < least)
        ).nonzero(as_tuple=True)
        if not len(near):
            continue
        wanted = goal.take(near)
        probe = replace(evaluation_probe(candidate[near], wanted), rows=near)
        there = wanted.reached((yield probe))
        kept = near[there & (size[near] < distance[near])]
        images[kept], distance[kept] = candidate[kept], size[kept]
    return MinimalPerturbation(images, distance, found.gradients)


def _as_returned(ball: Ball, points: Tensor) -> list[Tensor]:
    """Points as the images that may be returned for them, (B, C, H, W) each."""
    if not ball.eight_bit:
        return [points]
    levels, centre = points * LEVELS, (ball.x * LEVELS).round()
    away = torch.where(levels > centre, levels.ceil(), levels.floor())
    return [levels.round() / LEVELS, away / LEVELS]
