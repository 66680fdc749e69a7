"""Feature visualization: the picture on which a unit is most active, optimized again where it
failed, and certified.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.feature.appearance import appearance
from interp.feature.certificate import Certificate, measure_layers, unit_rank
from interp.feature.optimization import PictureProblem, optimize
from interp.feature.retries import (
    FURTHER_SEEDS,
    Candidates,
    restart_seed,
    retry_learning_rate,
    retry_of,
)
from interp.feature.settings import PictureSettings
from interp.layer import LayerPath
from interp.objective import Objective, activation
from interp.probe import Procedure


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
    problem = PictureProblem(objective, tuple(rows), like, settings, auxiliary, init_images)
    best, attempts = yield from _with_retries(problem, thresholds)
    every_row = torch.arange(len(rows), device=like.device)
    further = [best.activation.new_zeros(len(rows), 0)]
    for number in range(settings.further_seeds):
        other = yield from optimize(
            problem,
            every_row,
            number=2 + settings.retries + number,
            restart=FURTHER_SEEDS + number,
            learning_rate=settings.learning_rate,
        )
        further.append(other.activation[:, None])
    certificate = yield from _certify(
        best, problem, units or [None] * len(rows), torch.cat(further, 1), attempts
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


def _with_retries(
    problem: PictureProblem, thresholds: Tensor | None
) -> Procedure[tuple[Candidates, Tensor]]:
    """Optimize all rows, and those that failed again; also how often each was optimized, (B,)."""
    settings = problem.settings
    every_row = torch.arange(len(problem.rows), device=problem.like.device)
    attempts = torch.ones_like(every_row)
    bounds = None if thresholds is None else thresholds.to(problem.like)
    best = yield from optimize(
        problem, every_row, number=1, restart=0, learning_rate=settings.learning_rate
    )
    for retry in range(1, settings.retries + 1):
        (failed,) = problem.coupled_rows(best.failed(bounds)).nonzero(as_tuple=True)
        if not len(failed):
            break
        attempts[failed] += 1
        other = yield from optimize(
            problem,
            failed,
            number=1 + retry,
            restart=retry,
            learning_rate=retry_learning_rate(settings.learning_rate, retry),
        )
        best = best.best(other, failed, bounds, problem.total.groups)
    return best, attempts


def _certify(
    best: Candidates,
    problem: PictureProblem,
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
    restarts = best.restart.tolist()
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
            for (seed, _), restart in zip(problem.rows, restarts, strict=True)
        ],
        learning_rates=best.learning_rate,
        contrasts=[
            problem.settings.parameterization.allowed_contrast(retry_of(restart))
            for restart in restarts
        ],
        size=(best.opaque.shape[2], best.opaque.shape[3]),
        appearance=appearance(best.opaque),
    )
