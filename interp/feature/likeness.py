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

# (layer, target activations (B, ...)) -> objective of B rows
Likeness = Callable[[str, Tensor], Objective]
_Compare = Callable[..., Tensor]  # (activations (B, ...), rows of the objective) -> (B,)


def inversion(layer: str, targets: Tensor) -> Objective:
    """Make an objective of the same activations: -|h - t|^2 / |t|^2 (Mahendran & Vedaldi 2015,
    equation 2, without the regularizer).

    Args:
        layer: whose activations h are compared.
        targets: t (B, ...), the layer's activations on the given images, at the size of the
            pictures.

    Returns:
        An objective of B rows, at most 0.

    Raises:
        ValueError: A target is 0 everywhere, or not finite.
    """
    return Objective((layer,), _score(layer, _inversion), (_checked(targets),))


def caricature(layer: str, targets: Tensor, power: float = 1.0) -> Objective:
    """Make an objective of the same activations, exaggerated: <h, t / |t|> cos(h, t)^power over the
    whole layer (lucid, "dot_compare").

    Args:
        layer: whose activations h are compared.
        targets: t (B, ...), as for `inversion`.
        power: of the cosine, which is raised to at least `interp.feature.direction.MIN_COSINE`.

    Returns:
        An objective of B rows.

    Raises:
        ValueError: A target is 0 everywhere, or not finite.
    """
    flat = _checked(targets).flatten(1)
    unit = flat / flat.norm(dim=1, keepdim=True)
    rows = (unit, torch.full_like(unit[:, 0], power))
    return Objective((layer,), _score(layer, _caricature), rows)


def style(layer: str, targets: Tensor) -> Objective:
    """Make an objective of the same Gram matrix: -|G(h) - G(t)|^2 / |G(t)|^2 (Gatys et al. 2016,
    equations 3 to 5).

    Args:
        layer: whose Gram matrices are compared.
        targets: t (B, ...), the layer's activations on the given images, which may have any size.

    Returns:
        An objective of B rows, at most 0.

    Raises:
        ValueError: A target is 0 everywhere, or not finite.
    """
    size = max_magnitude(_checked(targets))
    rows = (gram_matrix(targets / broadcast_rows(size, targets)), size)
    return Objective((layer,), _score(layer, _style), rows)


def likeness(kind: Likeness, layer: str, images: Tensor) -> Procedure[Objective]:
    """Make an objective of being like given images, whose activations are asked for first.

    Args:
        kind: `inversion`, `caricature` or `style`.
        layer: whose activations are compared.
        images: (B, C, H, W) in [0, 1], one a row.

    Returns:
        An objective of B rows.

    Raises:
        ValueError: The layer is 0 everywhere on an image, or its values are not finite.
    """
    answer = yield Probe(images, layers=(layer,))
    return kind(layer, answer.activations[layer])


def gram_matrix(activations: Tensor) -> Tensor:
    """Return the Gram matrix of a layer's units: the mean over positions of their products.

    Args:
        activations: (B, K, ...), or (B, K) for one position.

    Returns:
        (B, K, K).
    """
    h = activations.flatten(2) if activations.ndim > 2 else activations[..., None]  # (B, K, P)
    return h @ h.mT / h.shape[2]


def max_magnitude(activations: Tensor) -> Tensor:
    """Return each row's largest magnitude: whoever divides by it keeps fourth powers in float32.

    Args:
        activations: (B, ...).

    Returns:
        (B,), 1 where all is 0.
    """
    size = activations.detach().flatten(1).abs().amax(1)
    return torch.where(size > 0, size, 1)


def broadcast_rows(values: Tensor, like: Tensor) -> Tensor:
    """Return one value a row in a shape that broadcasts.

    Args:
        values: (B,).
        like: (B, ...), whose dtype and number of axes the result has.

    Returns:
        (B, 1, ..., 1).
    """
    return values.to(like).view(-1, *[1] * (like.ndim - 1))


def _checked(targets: Tensor) -> Tensor:
    """The targets, unless one is 0 everywhere or not finite."""
    length = targets.flatten(1).norm(dim=1)
    if not (length.isfinite() & (length > 0)).all():
        raise ValueError(
            "the layer's activations on the given image must be finite, and not 0 everywhere"
        )
    return targets


def _relative_error(found: Tensor, target: Tensor) -> Tensor:
    """Minus the squared distance over the squared length of the target, (B,)."""
    return -(found - target).flatten(1).square().sum(1) / target.flatten(1).square().sum(1)


def _inversion(h: Tensor, targets: Tensor) -> Tensor:
    """The score of `inversion`, (B,)."""
    return _relative_error(h, targets.to(h))


def _caricature(h: Tensor, unit: Tensor, powers: Tensor) -> Tensor:
    """The score of `caricature`, (B,)."""
    return dot_cosine(h.flatten(1)[..., None], unit.to(h), powers.to(h)).squeeze(1)


def _style(h: Tensor, grams: Tensor, sizes: Tensor) -> Tensor:
    """The score of `style`, (B,)."""
    return _relative_error(gram_matrix(h / broadcast_rows(sizes, h)), grams.to(h))


# One function a layer and kind, so that the objectives of separate requests are batchable.
@functools.cache
def _score(layer: str, compare: _Compare) -> Score:
    """A score of one layer's activations."""

    def score(activations: Mapping[str, Tensor], *rows: Tensor) -> Tensor:
        return compare(activations[layer], *rows)

    return score
