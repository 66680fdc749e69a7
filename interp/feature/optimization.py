"""One optimization of pictures: what is climbed, from where, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interp.ascent import Ascent, ascend
from interp.feature.alpha import over
from interp.feature.certificate import measure
from interp.feature.params.init_image import InitImage
from interp.feature.retries import Candidates, restart_seed, retry_of, with_restart_progress
from interp.feature.settings import PictureSettings
from interp.objective import Objective
from interp.probe import Probe, Procedure
from interp.seeds import generators
from interp.step import adam


@dataclass(frozen=True, eq=False)
class PictureProblem:
    """What all optimizations of a request have in common.

    Attributes:
        objective: of B rows.
        rows: (seed, row) of each picture.
        like: a tensor of the network's dtype and device.
        settings: how the pictures are made.
        auxiliary: climbed with the objective, but not measured.
        init_images: (1, C, H, W) or (B, C, H, W) in [0, 1] to start at, instead of noise.
    """

    objective: Objective
    rows: Sequence[tuple[int, int]]
    like: Tensor
    settings: PictureSettings
    auxiliary: Objective | None
    init_images: Tensor | None

    @property
    def total(self) -> Objective:
        """What is climbed."""
        return self.objective if self.auxiliary is None else self.objective + self.auxiliary

    def coupled_rows(self, rows: Tensor) -> Tensor:
        """Return rows (B,) bool, and all that are coupled with one of them."""
        groups = self.total.groups
        return rows if groups is None else torch.isin(groups, groups[rows])

    def ascent(self, index: Tensor, learning_rate: float, retry: int = 0) -> Ascent:
        """Make the problem of one optimization.

        Args:
            index: (A,) int64, the rows that are optimized.
            learning_rate: Adam's.
            retry: which this is, 0 for none.

        Returns:
            What `interp.ascent.ascend` takes.
        """
        relaxed = self.settings.parameterization.relaxed(retry)
        settings = replace(self.settings, parameterization=relaxed)
        parameterization = settings.build(self.like)
        if self.init_images is not None:
            images = self.init_images.to(self.like)
            images = images if len(images) == 1 else images[index]
            parameterization = InitImage(parameterization.including(images), images)
        return Ascent(
            parameterization,
            self.total.take(index),
            adam(learning_rate, relative=True, shared=settings.parameterization.shared_divisor),
            settings.steps,
            settings.transform,
            redirect=True,
            penalty=settings.penalty,
            operator=settings.operator,
            trace=settings.parameterization.attention_percentile is not None,
        )


def optimize(
    problem: PictureProblem, index: Tensor, *, number: int, restart: int, learning_rate: float
) -> Procedure[Candidates]:
    """Optimize pictures once, and measure them.

    Args:
        problem: what all optimizations have in common.
        index: (A,) int64, the rows that are optimized.
        number: of this optimization, from 1, for its progress.
        restart: picks its seeds, see `interp.feature.retries.restart_seed`.
        learning_rate: Adam's.

    Returns:
        A candidates.
    """
    rows, objective = index.tolist(), problem.objective.take(index)
    starts = [
        generators(restart_seed(problem.rows[i][0], restart), problem.rows[i][1], 1)[0]
        for i in rows
    ]
    climb = ascend(problem.ascent(index, learning_rate, retry_of(restart)), starts)
    reached = yield from with_restart_progress(climb, number, rows)
    images = reached.images
    opaque = images if images.shape[1] == problem.settings.shape[0] else over(images)
    opaque = problem.settings.shown(opaque)
    scores = yield from measure(opaque, objective)
    percentile = problem.settings.parameterization.attention_percentile
    if reached.attention is not None and percentile is not None:
        images = torch.cat([images, _attention_alpha(reached.attention, percentile)], 1)
    zero, dead = scores.activation == 0, ~reached.moved
    rose = torch.zeros_like(dead)
    if problem.auxiliary is not None:  # which may have moved what the objective did not
        dead |= yield from _without_gradient(opaque, objective, zero)
    elif reached.start_score is not None:
        # Of a rectified unit that is to be lowered, 0 is the best that there is.
        rose = reached.start_score < 0
    return Candidates(
        images,
        opaque,
        scores.activation,
        scores.held_out,
        scores.held_out_minimum,
        dead=dead,
        inactive=zero & ~rose,
        restart=torch.full_like(index, restart),
        learning_rate=torch.full_like(index, learning_rate, dtype=torch.float64),
    )


def _attention_alpha(attention: Tensor, percentile: float) -> Tensor:
    """(B, 1, H, W) in [0, 1]: attention of that shape over its percentile in each picture, cut at
    1; opaque where that is 0 (Fel et al. 2023, section 3.3).
    """
    level = attention.flatten(1).quantile(percentile / 100, dim=1).view(-1, 1, 1, 1)
    return torch.where(level > 0, (attention / level).clamp(0, 1), 1.0)


def _without_gradient(pictures: Tensor, objective: Objective, chosen: Tensor) -> Procedure[Tensor]:
    """(B,) bool: which of the chosen pictures have no gradient, not even through redirected
    rectifiers.
    """
    result = torch.zeros_like(chosen)
    (rows,) = chosen.nonzero(as_tuple=True)
    if len(rows):
        answer = yield Probe(
            pictures[rows], objective.take(rows), redirect=True, splittable=not objective.coupled
        )
        assert answer.grad is not None
        result[rows] = ~answer.grad.flatten(1).any(1)
    return result
