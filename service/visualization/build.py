"""From goals and a recipe to the procedure that makes the pictures. Nothing is allocated before the
engine runs it.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.feature import alpha, penalty
from interp.feature.direction import Comparison, cosine, direction, dot, dot_cosine
from interp.feature.diversity import diversity_beside
from interp.feature.likeness import Likeness, caricature, inversion, likeness, style
from interp.feature.params.cppn import Cppn
from interp.feature.params.fourier import Fourier, MakeSpace, Pixels
from interp.feature.params.maco import Maco
from interp.feature.transform import (
    MACO_VIEWS,
    Compose,
    Crop,
    Jitter,
    Mirror,
    Noise,
    Pad,
    Rotate,
    Scale,
    Transform,
)
from interp.feature.visualize import Pictures, Settings, Trial, visualize
from interp.layer import LayerPath
from interp.network.network import Network
from interp.objective import Objective, activation, stack
from interp.probe import Procedure
from service.imaging import png
from service.visualization.cache import Picture
from service.visualization.errors import UnfitObjective
from service.visualization.spec import Alike, Goal, Recipe, Term, Towards

# a wholly opaque picture pays half of what it wins: what a unit does not see becomes transparent
OPAQUE = 0.5

_VIEWS: dict[str, Callable[..., Transform]] = {
    "jitter": Jitter,
    "rotate": Rotate,
    "scale": Scale,
    "pad": Pad,
    "crop": Crop,
    "noise": Noise,
    "mirror": Mirror,
}
_PENALTIES: dict[str, Callable[..., penalty.Penalty]] = {
    "l1": penalty.l1,
    "l2": penalty.l2,
    "total_variation": penalty.total_variation,
}
_OPERATORS: dict[str, Callable[..., penalty.Operator]] = {
    "blur": penalty.blur,
    "clip": penalty.clip,
}
_COMPARISONS: dict[str, Comparison] = {"dot": dot, "cosine": cosine, "dot_cosine": dot_cosine}


def picture(
    goals: Sequence[Goal],
    recipe: Recipe,
    network: Network,
    rows: Sequence[tuple[int, int]],
    bars: Sequence[float] | None = None,
    magnitude: Tensor | None = None,
) -> Procedure[Pictures]:
    """One picture a goal, on the host.

    Args:
        rows: (seed, row) of each picture, which it draws its randomness from.
        bars: what each activation is to reach, NaN where that is unknown.
        magnitude: of maco, see `interp.feature.params.maco`.
    """
    like = torch.zeros((), device=network.device, dtype=network.dtype)
    objective = yield from _objective(goals, like)
    beside = None
    if recipe.apart is not None:
        groups = torch.arange(len(goals), device=like.device) // recipe.variants
        beside = diversity_beside(objective, recipe.apart.layer, groups, recipe.apart.weight)
    bar = None if bars is None else torch.tensor(bars, device=like.device, dtype=like.dtype)
    trial = Trial(recipe.seeds, recipe.retries, bar)
    found = yield from visualize(
        objective,
        rows,
        like,
        settings(recipe, len(goals), magnitude),
        trial,
        [g.unit for g in goals],
        beside,
    )
    return found.cpu()


def settings(recipe: Recipe, count: int, magnitude: Tensor | None = None) -> Settings:
    """How the pictures of a recipe are made, for `visualize`. `count`: pictures."""
    chain: list[Transform] = [_VIEWS[name](*numbers) for name, numbers in recipe.views or ()]
    if recipe.views is None:
        chain = [MACO_VIEWS if recipe.space[0] == "maco" else Settings.transform]
    penalties = [
        _PENALTIES[name](*numbers) for name, numbers in recipe.regularizers if name in _PENALTIES
    ]
    operators = [
        _OPERATORS[name](*numbers) for name, numbers in recipe.regularizers if name in _OPERATORS
    ]
    if recipe.alpha:
        chain.insert(0, alpha.Backdrop())
        penalties.append(alpha.opacity(OPAQUE))
    origin = recipe.start
    if origin is not None and len(origin) > 1:
        origin = origin.repeat_interleave(count // len(origin), 0)
    trace = recipe.space[0] == "maco" and recipe.transparent
    return Settings(
        recipe.shape,
        recipe.steps,
        recipe.rate,
        transform=chain[0] if len(chain) == 1 else Compose(tuple(chain)),
        space=_space(recipe, magnitude),
        penalty=penalty.together(penalties) if penalties else None,
        operator=penalty.in_turn(operators) if operators else None,
        origin=origin,
        trace=trace,
        transparency=recipe.space[1][1] if trace else Settings.transparency,
    )


def _space(recipe: Recipe, magnitude: Tensor | None) -> MakeSpace:
    match recipe.space:
        case ("pixels", _):
            plain: Callable[..., Fourier | Pixels | Cppn] = Pixels
        case ("cppn", (depth, width)):
            plain = partial(Cppn, depth=int(depth), width=int(width))
        case ("maco", _):
            assert magnitude is not None
            known = magnitude
            return lambda shape, like: Maco(shape, like, known.to(like.device))
        case (_, (decay,)):
            plain = partial(Fourier, decay=decay)
    return (lambda shape, like: alpha.Alpha(plain(shape, like))) if recipe.alpha else plain


def _objective(goals: Sequence[Goal], like: Tensor) -> Procedure[Objective]:
    """One row a goal; units alone are scored together, whatever their number."""
    paths = [goal.path for goal in goals]
    if all(path is not None for path in paths):
        return activation([path for path in paths if path is not None], like.device)
    parts = []
    for goal in goals:
        parts.append((yield from _sum(goal, like)))
    return stack(parts)


def _sum(goal: Goal, like: Tensor) -> Procedure[Objective]:
    total = None
    for term in goal.terms:
        one = yield from _term(term, like)
        one = one if term.weight == 1 else one * term.weight
        total = one if total is None else total + one
    assert total is not None
    return total


def _term(term: Term, like: Tensor) -> Procedure[Objective]:
    match term.kind:
        case LayerPath():
            return activation([term.kind], like.device)
        case Towards(layer, vector, comparison, power, position):
            return direction(
                layer, vector[None].to(like), _COMPARISONS[comparison], power, position
            )
        case Alike(layer, image, kind, power):
            kinds: dict[str, Likeness] = {
                "inversion": inversion,
                "caricature": partial(caricature, power=power),
                "style": style,
            }
            try:
                return (yield from likeness(kinds[kind], layer, image.to(like)))
            except ValueError as error:
                raise UnfitObjective(f"{term.kind}: {error}") from error


def drawn(found: Pictures) -> list[Picture]:
    """Pictures as PNG files, with what was measured on them. Encodes: not for the event loop."""
    measured, images = found.certificate, found.images.float().numpy()
    return [
        Picture(
            png=encoded(image),
            activation=float(measured.activation[i]),
            held_out=float(measured.held_out[i]),
            held_out_minimum=float(measured.held_out_minimum[i]),
            dead=bool(found.dead[i]),
            rank=int(measured.rank[i]),
            units=int(measured.units[i]),
            layer_activations=_numbers(measured.layer_activations[i]),
            seed_activations=tuple(measured.seed_activations[i].tolist()),
            attempts=int(measured.attempts[i]),
            seed=measured.seeds[i],
            rate=float(measured.rates[i]),
        )
        for i, image in enumerate(images)
    ]


def broken(recipe: Recipe) -> Picture:
    """What stands for the picture of a unit whose values are not finite: gray, and dead."""
    gray = np.full(
        (recipe.channels if recipe.channels != 4 else 3, *recipe.shape[1:]), 0.5, np.float32
    )
    nothing = np.zeros(0, np.float32)
    return Picture(
        encoded(gray),
        math.nan,
        math.nan,
        math.nan,
        True,
        0,
        0,
        nothing,
        (),
        1,
        recipe.seed,
        recipe.rate,
    )


def _numbers(values: Tensor | None) -> NDArray[np.float32]:
    return np.zeros(0, np.float32) if values is None else values.float().numpy()


def encoded(image: NDArray[np.generic]) -> bytes:
    """A picture (C, H, W) as PNG; gray with transparency (2, H, W) as RGBA."""
    return png(image if len(image) != 2 else image[[0, 0, 0, 1]])
