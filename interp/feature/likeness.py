"""Objectives of being like a given image to a layer: the same activations, the same exaggerated, or
the same style.
"""

import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from interp.feature.direction import dot_cosine
from interp.objective import Objective, Score
from interp.probe import Probe, Procedure

Likeness = Callable[
    [str, Tensor], Objective
]  # (layer, target activations (B, ...)) -> objective of B rows
_Compare = Callable[..., Tensor]  # (activations (B, ...), rows of the objective) -> (B,)


def inversion(layer: str, targets: Tensor) -> Objective:
    """The same activations: -|h - t|^2 / |t|^2 (Mahendran & Vedaldi 2015, equation 2, without the
    regularizer). At most 0.

    `targets` t (B, ...) are the layer's activations on the given images, at the size of the
    pictures.

    Raises:
        ValueError: a target is 0 everywhere, or not finite.
    """
    return Objective((layer,), _scored(layer, _inversion), (_checked(targets),))


def caricature(layer: str, targets: Tensor, power: float = 1.0) -> Objective:
    """The same activations, exaggerated: <h, t / |t|> cos(h, t)^power over the whole layer (lucid,
    "dot_compare").

    The cosine is raised to at least `interp.feature.direction.LEAST_COSINE`. `targets` and errors
    as for `inversion`.
    """
    flat = _checked(targets).flatten(1)
    unit = flat / flat.norm(dim=1, keepdim=True)
    return Objective(
        (layer,), _scored(layer, _caricature), (unit, torch.full_like(unit[:, 0], power))
    )


def style(layer: str, targets: Tensor) -> Objective:
    """The same Gram matrix: -|G(h) - G(t)|^2 / |G(t)|^2 (Gatys et al. 2016, equations 3 to 5). At
    most 0.

    The images that `targets` come from may have any size. Errors as for `inversion`.
    """
    size = largest(_checked(targets))
    return Objective(
        (layer,), _scored(layer, _style), (gram(targets / spread(size, targets)), size)
    )


def likeness(kind: Likeness, layer: str, images: Tensor) -> Procedure[Objective]:
    """`inversion`, `caricature` or `style` of images (B, C, H, W) in [0, 1], one a row, whose
    activations are asked for first.

    Raises:
        ValueError: the layer is 0 everywhere on an image, or its values are not finite.
    """
    answer = yield Probe(images, layers=(layer,))
    return kind(layer, answer.activations[layer])


def gram(activations: Tensor) -> Tensor:
    """(B, K, K) the mean over positions of the products of every two units of (B, K, ...); one
    position if there are none.
    """
    h = activations.flatten(2) if activations.ndim > 2 else activations[..., None]  # (B, K, P)
    return h @ h.mT / h.shape[2]


def largest(activations: Tensor) -> Tensor:
    """(B,) the largest magnitude in (B, ...), 1 where that is 0: whoever divides by it keeps fourth
    powers within float32.
    """
    size = activations.detach().flatten(1).abs().amax(1)
    return torch.where(size > 0, size, 1)


def spread(values: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, ..., 1), with the dtype of `like` and as many axes."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))


def _checked(targets: Tensor) -> Tensor:
    length = targets.flatten(1).norm(dim=1)
    if not (length.isfinite() & (length > 0)).all():
        raise ValueError(
            "the layer's activations on the given image must be finite, and not 0 everywhere"
        )
    return targets


def _off(found: Tensor, wanted: Tensor) -> Tensor:
    """Minus the squared distance over the squared length, (B,)."""
    return -(found - wanted).flatten(1).square().sum(1) / wanted.flatten(1).square().sum(1)


def _inversion(h: Tensor, targets: Tensor) -> Tensor:
    return _off(h, targets.to(h))


def _caricature(h: Tensor, unit: Tensor, powers: Tensor) -> Tensor:
    return dot_cosine(h.flatten(1)[..., None], unit.to(h), powers.to(h)).squeeze(1)


def _style(h: Tensor, grams: Tensor, sizes: Tensor) -> Tensor:
    return _off(gram(h / spread(sizes, h)), grams.to(h))


# one function per layer and kind, so that the objectives of separate requests are kin
@functools.cache
def _scored(layer: str, compare: _Compare) -> Score:
    def score(activations: Mapping[str, Tensor], *rows: Tensor) -> Tensor:
        return compare(activations[layer], *rows)

    return score
