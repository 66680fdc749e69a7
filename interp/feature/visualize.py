"""Feature visualization: the picture on which a unit is most active, tried again where it is not
worth much, and certified.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.ascent import Ascent, ascend
from interp.feature.alpha import over
from interp.feature.certificate import Certificate, measure, of_layers, rank
from interp.feature.params.fourier import Fourier, MakeSpace
from interp.feature.params.init_image import Begun
from interp.feature.retries import Tries, another, told
from interp.feature.transform import Jiggle, Transform
from interp.layer import LayerPath
from interp.objective import Objective, activation
from interp.probe import Probe, Procedure
from interp.seeds import generators
from interp.step import adam

_VIEWS = Jiggle()
_FURTHER = 2**16  # further seeds are numbered from here, so that no retry has the same
_PACES = (2.0, 0.5, 4.0, 0.25)  # learning rates of retries, as factors


@dataclass(frozen=True, eq=False)
class Settings:
    """How pictures are made.

    Args:
        shape: (C, H, W) of the pictures as the network takes them.
        steps: gradient steps.
        rate: Adam's learning rate.
        transform: random views; `identity` for none.
        space: makes the parameterization from shape and a tensor of the network's dtype and device.
        penalty: (images (B, C, H, W), size of their scores (B,)) -> (B,), added to the score.
        operator: (images, step from 1) -> images, applied after every step.
        origin: images (1 or B, C, H, W) in [0, 1] to begin at, instead of noise.
        trace: return an alpha channel that shows where the gradient with respect to the image was
            strong while climbing (Fel et al. 2023, section 3.3): divided by a percentile of each
            picture, cut at 1.
        transparency: that percentile, above 0 to 100.
    """

    shape: tuple[int, int, int]
    steps: int = 256
    rate: float = 0.1
    transform: Transform = _VIEWS
    space: MakeSpace = Fourier
    penalty: Callable[[Tensor, Tensor], Tensor] | None = None
    operator: Callable[[Tensor, int], Tensor] | None = None
    origin: Tensor | None = None
    trace: bool = False
    transparency: float = 90.0


@dataclass(frozen=True, eq=False)
class Trial:
    """How much is done for a picture beyond one optimization.

    Args:
        seeds: further seeds whose activations are reported.
        retries: how often a picture is tried again that is dead, shut (its objective is exactly 0,
            and did not rise to that), no finite number, or below `bar`.
        bar: (B,) what the activation is to reach, NaN where that is unknown; None: unknown
            everywhere.
    """

    seeds: int = 0
    retries: int = 2
    bar: Tensor | None = None


_ONCE = Trial()


@dataclass(frozen=True, eq=False)
class Pictures:
    """What the units see, one row a unit."""

    images: Tensor  # (B, C, H, W) in [0, 1]; with transparency (B, C + 1, H, W), alpha last
    activation: Tensor  # (B,) of the objective on these images, without transforms
    dead: Tensor  # (B,) bool: no step had a gradient
    certificate: Certificate

    def cpu(self) -> "Pictures":
        """The same on the host."""
        return Pictures(
            self.images.cpu(), self.activation.cpu(), self.dead.cpu(), self.certificate.cpu()
        )


def visualize(
    objective: Objective,
    rows: Sequence[tuple[int, int]],
    like: Tensor,
    settings: Settings,
    trial: Trial = _ONCE,
    units: Sequence[LayerPath | None] | None = None,
    beside: Objective | None = None,
) -> Procedure[Pictures]:
    """Activation maximization (Erhan et al. 2009; Olah et al. 2017), certified.

    Pictures that fail (see `Trial`) are tried again, all in one batch, with other seeds and
    learning rates; of a coupled objective whole groups, which are also returned from one try. Of
    all tries the one with the highest mean under the held-out views is returned, those that did not
    fail first. Pictures whose alpha channel is optimized are measured laid over mid-gray; those of
    `Settings.trace` opaque. The progress of every optimization is an
    `interp.feature.retries.Attempt`.

    Args:
        objective: of B rows.
        rows: (seed, row) of each picture: its randomness, whatever the others are. Seeds from 0 to
            2^64 - 1.
        like: a tensor of the network's dtype and device.
        units: per picture the one unit whose place in its layer is wanted, or None.
        beside: added while climbing, but not measured: `interp.feature.diversity.diversity_beside`.
    """
    task = _Task(objective, tuple(rows), like, settings, beside)
    everyone = torch.arange(len(rows), device=like.device)
    attempts, bar = torch.ones_like(everyone), None if trial.bar is None else trial.bar.to(like)
    tries = yield from _climb(task, everyone, 1, 0, settings.rate)
    for retry in range(1, trial.retries + 1):
        (again,) = task.whole(tries.failed(bar)).nonzero(as_tuple=True)
        if not len(again):
            break
        attempts[again] += 1
        other = yield from _climb(
            task, again, 1 + retry, retry, settings.rate * _PACES[(retry - 1) % len(_PACES)]
        )
        tries = tries.better(other, again, bar, task.climbed.groups)
    further = [tries.activation.new_zeros(len(rows), 0)]
    for number in range(trial.seeds):
        other = yield from _climb(
            task, everyone, 2 + trial.retries + number, _FURTHER + number, settings.rate
        )
        further.append(other.activation[:, None])
    certificate = yield from _certified(
        tries, task.rows, units or [None] * len(rows), torch.cat(further, 1), attempts
    )
    return Pictures(tries.images, tries.activation, tries.dead, certificate)


def of_units(
    paths: Sequence[LayerPath],
    shape: tuple[int, int, int],
    like: Tensor,
    *,
    steps: int = 256,
    rate: float = 0.1,
    seed: int = 0,
    transform: Transform = _VIEWS,
    trial: Trial = _ONCE,
) -> Procedure[Pictures]:
    """`visualize` one unit, neuron or layer a picture, see `interp.objective.activation`; picture i
    is row i under `seed`.
    """
    rows = [(seed, row) for row in range(len(paths))]
    settings = Settings(shape, steps, rate, transform)
    return (
        yield from visualize(activation(paths, like.device), rows, like, settings, trial, paths)
    )


@dataclass(frozen=True, eq=False)
class _Task:
    """What is asked of all pictures of a request."""

    objective: Objective
    rows: Sequence[tuple[int, int]]
    like: Tensor
    settings: Settings
    beside: Objective | None

    @property
    def climbed(self) -> Objective:
        return self.objective if self.beside is None else self.objective + self.beside

    def whole(self, rows: Tensor) -> Tensor:
        """Rows (B,) bool and all that are coupled with one of them."""
        groups = self.climbed.groups
        return rows if groups is None else torch.isin(groups, groups[rows])

    def ascent(self, index: Tensor, rate: float) -> Ascent:
        """One optimization of some rows."""
        given = self.settings
        space = given.space(given.shape, self.like)
        if given.origin is not None:
            space = Begun(
                space,
                given.origin.to(self.like)
                if len(given.origin) == 1
                else given.origin.to(self.like)[index],
            )
        return Ascent(
            space,
            self.climbed.take(index),
            adam(rate, relative=True),
            given.steps,
            given.transform,
            redirect=True,
            penalty=given.penalty,
            operator=given.operator,
            trace=given.trace,
        )


def _climb(task: _Task, index: Tensor, attempt: int, number: int, rate: float) -> Procedure[Tries]:
    """One optimization of the rows `index`, measured; `number` picks its seeds."""
    rows = index.tolist()
    starts = [generators(another(task.rows[i][0], number), task.rows[i][1], 1)[0] for i in rows]
    summit = yield from told(ascend(task.ascent(index, rate), starts), attempt, rows)
    images = summit.images
    pictures = images if images.shape[1] == task.settings.shape[0] else over(images)
    measured = yield from measure(pictures, task.objective.take(index))
    if summit.attention is not None:
        images = torch.cat([images, _alpha(summit.attention, task.settings.transparency)], 1)
    dead = ~summit.moved
    if task.beside is not None:  # which may have moved what the objective did not
        dead |= yield from _still(pictures, task.objective.take(index), measured.activation == 0)
    rose = torch.zeros_like(dead)
    if summit.start_score is not None and task.beside is None:
        rose = (
            summit.start_score < 0
        )  # of a rectified unit that is to be lowered 0 is the best that there is
    return Tries(
        images,
        pictures,
        measured.activation,
        measured.held_out,
        measured.held_out_minimum,
        dead,
        (measured.activation == 0) & ~rose,
        torch.full_like(index, number),
        torch.full_like(index, rate, dtype=torch.float64),
    )


def _alpha(attention: Tensor, percentile: float) -> Tensor:
    """(B, 1, H, W) in [0, 1]: attention of that shape over its percentile in each picture, cut at
    1; opaque where that is 0.
    """
    level = attention.flatten(1).quantile(percentile / 100, dim=1).view(-1, 1, 1, 1)
    return torch.where(level > 0, (attention / level).clamp(0, 1), 1.0)


def _still(pictures: Tensor, objective: Objective, shut: Tensor) -> Procedure[Tensor]:
    """(B,) bool: which of the shut pictures have no gradient, not even through redirected
    rectifiers.
    """
    still = torch.zeros_like(shut)
    (rows,) = shut.nonzero(as_tuple=True)
    if len(rows):
        answer = yield Probe(
            pictures[rows], objective.take(rows), redirect=True, splittable=not objective.coupled
        )
        assert answer.grad is not None
        still[rows] = ~answer.grad.flatten(1).any(1)
    return still


def _certified(
    tries: Tries,
    rows: Sequence[tuple[int, int]],
    units: Sequence[LayerPath | None],
    further: Tensor,
    attempts: Tensor,
) -> Procedure[Certificate]:
    layers = yield from of_layers(tries.pictures, units)
    ranks = [
        (0, 0)
        if values is None or path is None or path.unit is None
        else (rank(values, path.unit), len(values))
        for values, path in zip(layers, units, strict=True)
    ]
    places = torch.tensor(ranks, device=attempts.device).view(-1, 2)
    return Certificate(
        tries.activation,
        tries.held_out,
        tries.held_out_minimum,
        places[:, 0],
        places[:, 1],
        layers,
        further,
        attempts,
        [
            another(seed, number)
            for (seed, _), number in zip(rows, tries.number.tolist(), strict=True)
        ],
        tries.rate,
    )
