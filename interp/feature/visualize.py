"""Feature visualization: the picture on which a unit is most active, optimized again where it
failed, and certified.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.ascent import Ascent, ascend
from interp.feature.alpha import over
from interp.feature.certificate import Certificate, measure, measure_layers, unit_rank
from interp.feature.params.init_image import InitImage
from interp.feature.retries import (
    FURTHER_SEEDS,
    Candidates,
    restart_seed,
    retry_learning_rate,
    with_restart_progress,
)
from interp.feature.settings import PictureSettings
from interp.layer import LayerPath
from interp.objective import Objective, activation
from interp.probe import Probe, Procedure
from interp.seeds import generators
from interp.step import adam


@dataclass(frozen=True, eq=False)
class VisualizationResult:
    """What the units see, one row a unit.

    Attributes:
        images: (B, C, H, W) in [0, 1]; with transparency (B, C + 1, H, W), alpha last.
        activation: (B,) the objective on these images, without random views.
        dead: (B,) bool, no step had a gradient.
        certificate: what the pictures are worth.
    """

    images: Tensor
    activation: Tensor
    dead: Tensor
    certificate: Certificate

    def cpu(self) -> "VisualizationResult":
        """Return the same on the host."""
        return VisualizationResult(
            self.images.cpu(), self.activation.cpu(), self.dead.cpu(), self.certificate.cpu()
        )


def visualize(
    objective: Objective,
    rows: Sequence[tuple[int, int]],
    like: Tensor,
    settings: PictureSettings,
    *,
    thresholds: Tensor | None = None,
    units: Sequence[LayerPath | None] | None = None,
    auxiliary: Objective | None = None,
    init_images: Tensor | None = None,
) -> Procedure[VisualizationResult]:
    """Maximize activations (Erhan et al. 2009; Olah et al. 2017), and certify the pictures.

    Pictures that fail (`interp.feature.retries.Candidates.failed`) are optimized again, all in one
    batch, with other seeds and learning rates; of a coupled objective whole groups, which are also
    returned from one optimization. Of all optimizations the one with the highest mean under the
    held-out views is returned, those that did not fail first. Pictures whose alpha channel is
    optimized are measured laid over mid-gray; those whose alpha shows accumulated gradients are
    measured opaque. Progress is reported as `interp.feature.retries.RestartProgress`.

    Args:
        objective: of B rows.
        rows: (seed, row) of each picture: its randomness, whatever the others are. Seeds from 0 to
            2^64 - 1; that of `settings` is not used.
        like: a tensor of the network's dtype and device.
        settings: how the pictures are made.
        thresholds: (B,) what each activation has to reach, NaN where that is unknown; None: unknown
            everywhere.
        units: per picture the one unit whose place in its layer is measured, or None.
        auxiliary: climbed with the objective, but not measured, such as
            `interp.feature.diversity.scaled_diversity`.
        init_images: (1, C, H, W) or (B, C, H, W) in [0, 1] to start at, instead of noise.

    Returns:
        One picture a row.

    Raises:
        ValueError: The parameterization cannot start at an image, or the images do not fit.
    """
    problem = _Problem(objective, tuple(rows), like, settings, auxiliary, init_images)
    best, attempts = yield from _with_retries(problem, thresholds)
    every_row = torch.arange(len(rows), device=like.device)
    further = [best.activation.new_zeros(len(rows), 0)]
    for number in range(settings.further_seeds):
        other = yield from _optimize(
            problem,
            every_row,
            number=2 + settings.retries + number,
            restart=FURTHER_SEEDS + number,
            learning_rate=settings.learning_rate,
        )
        further.append(other.activation[:, None])
    certificate = yield from _certify(
        best, problem.rows, units or [None] * len(rows), torch.cat(further, 1), attempts
    )
    return VisualizationResult(best.images, best.activation, best.dead, certificate)


def visualize_units(
    paths: Sequence[LayerPath],
    like: Tensor,
    settings: PictureSettings,
    thresholds: Tensor | None = None,
) -> Procedure[VisualizationResult]:
    """Maximize the activation of one unit, neuron or layer a picture.

    Args:
        paths: one a picture, see `interp.objective.activation`; picture i is row i under the
            settings' seed.
        like: a tensor of the network's dtype and device.
        settings: how the pictures are made.
        thresholds: (B,) see `visualize`.

    Returns:
        One picture a path.
    """
    rows = [(settings.seed, row) for row in range(len(paths))]
    objective = activation(paths, like.device)
    result = yield from visualize(
        objective, rows, like, settings, thresholds=thresholds, units=paths
    )
    return result


@dataclass(frozen=True, eq=False)
class _Problem:
    """What all optimizations of a request have in common."""

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
        """Rows (B,) bool and all that are coupled with one of them."""
        groups = self.total.groups
        return rows if groups is None else torch.isin(groups, groups[rows])

    def ascent(self, index: Tensor, learning_rate: float) -> Ascent:
        """One optimization of some rows."""
        settings = self.settings
        parameterization = settings.build(self.like)
        if self.init_images is not None:
            images = self.init_images.to(self.like)
            parameterization = InitImage(
                parameterization, images if len(images) == 1 else images[index]
            )
        return Ascent(
            parameterization,
            self.total.take(index),
            adam(learning_rate, relative=True),
            settings.steps,
            settings.transform,
            redirect=True,
            penalty=settings.penalty,
            operator=settings.operator,
            trace=settings.parameterization.attention_percentile is not None,
        )


def _with_retries(
    problem: _Problem, thresholds: Tensor | None
) -> Procedure[tuple[Candidates, Tensor]]:
    """Optimize all rows, and those that failed again; also how often each was optimized, (B,)."""
    settings = problem.settings
    every_row = torch.arange(len(problem.rows), device=problem.like.device)
    attempts = torch.ones_like(every_row)
    bounds = None if thresholds is None else thresholds.to(problem.like)
    best = yield from _optimize(
        problem, every_row, number=1, restart=0, learning_rate=settings.learning_rate
    )
    for retry in range(1, settings.retries + 1):
        (failed,) = problem.coupled_rows(best.failed(bounds)).nonzero(as_tuple=True)
        if not len(failed):
            break
        attempts[failed] += 1
        other = yield from _optimize(
            problem,
            failed,
            number=1 + retry,
            restart=retry,
            learning_rate=retry_learning_rate(settings.learning_rate, retry),
        )
        best = best.best(other, failed, bounds, problem.total.groups)
    return best, attempts


def _optimize(
    problem: _Problem, index: Tensor, *, number: int, restart: int, learning_rate: float
) -> Procedure[Candidates]:
    """One optimization of the rows `index`, measured; `restart` picks its seeds."""
    rows, objective = index.tolist(), problem.objective.take(index)
    starts = [
        generators(restart_seed(problem.rows[i][0], restart), problem.rows[i][1], 1)[0]
        for i in rows
    ]
    climb = ascend(problem.ascent(index, learning_rate), starts)
    reached = yield from with_restart_progress(climb, number, rows)
    images = reached.images
    opaque = images if images.shape[1] == problem.settings.shape[0] else over(images)
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


def _certify(
    best: Candidates,
    rows: Sequence[tuple[int, int]],
    units: Sequence[LayerPath | None],
    seed_activations: Tensor,
    attempts: Tensor,
) -> Procedure[Certificate]:
    """The certificate of the pictures that are returned."""
    layers = yield from measure_layers(best.opaque, units)
    ranks = [
        (0, 0)
        if values is None or path is None or path.unit is None
        else (unit_rank(values, path.unit), len(values))
        for values, path in zip(layers, units, strict=True)
    ]
    rank, number = torch.tensor(ranks, device=attempts.device).view(-1, 2).unbind(1)
    return Certificate(
        best.activation,
        best.held_out,
        best.held_out_minimum,
        rank=rank,
        units=number,
        layer_activations=layers,
        seed_activations=seed_activations,
        attempts=attempts,
        seeds=[
            restart_seed(seed, restart)
            for (seed, _), restart in zip(rows, best.restart.tolist(), strict=True)
        ],
        learning_rates=best.learning_rate,
    )
