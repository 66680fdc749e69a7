"""Lucent's own objective objects, unchanged, as objectives of ours.

A lucent objective is called with a function from layer names to activations, and returns one loss
of the whole batch, to be minimized. Here it becomes a score: minus the loss, shared out evenly over
the rows, which are all one group.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from interp.layer import LOGITS, dotted
from interp.objective import Objective

Loss = Callable[
    [Callable[[str], Tensor]], Tensor
]  # a `lucent.optvis.objectives.Objective`: (layer name -> activation) -> loss

_INPUT, _LABELS = "input", "labels"  # lucent's names of the picture and of the last layer's output


def from_lucent(
    objective: Loss | str,
    rows: int,
    shapes: Mapping[str, tuple[int, ...]],
    device: torch.device | str = "cpu",
) -> Objective:
    """The objective of `rows` pictures that lucent's objective object is; the sum of its scores is
    minus lucent's loss.

    Lucent's layer names have underscores for dots, and "labels" means the logits. A choice of its
    rows is scored as if the layers were 0 on the others.

    Args:
        objective: the object, or lucent's text "layer:unit".
        shapes: layer -> shape of its output for one picture, see `Network.output_shapes`.

    Raises:
        UnknownLayer: it asks for a layer that is not in `shapes`.
        ValueError: it asks for the picture itself, which no layer is (see `input_penalty`), or
            returns something else than one number.
    """
    loss = _named(objective) if isinstance(objective, str) else objective
    layers = _asked(loss, rows, shapes, device)

    def score(activations: Mapping[str, Tensor], places: Tensor) -> Tensor:
        def whole(name: str) -> Tensor:
            seen = activations[_ours(name, tuple(shapes))]
            return (
                seen
                if len(seen) == rows
                else seen.new_zeros(rows, *seen.shape[1:]).index_copy(0, places, seen)
            )

        return (-loss(whole) / len(places)).expand(len(places))

    everyone = torch.arange(rows, device=device)
    return Objective(layers, score, (everyone,), torch.zeros_like(everyone))


def input_penalty(objective: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """Lucent's objective of the picture itself, such as `blur_input_each_step`, as a penalty:
    images (B, C, H, W) -> (B,).
    """

    def of_one(image: Tensor) -> Tensor:
        def seen(name: str) -> Tensor:
            if name != _INPUT:
                raise ValueError(f"a penalty sees the picture alone, not layer {name!r}")
            return image[None]

        return -objective(seen)

    return lambda images, _: torch.stack([of_one(image) for image in images])


def _named(text: str) -> Loss:
    from lucent.optvis.objectives import as_objective  # only who uses lucent's texts needs it

    named: Loss = as_objective(text)
    return named


def _ours(name: str, layers: tuple[str, ...]) -> str:
    if name == _INPUT and name not in layers:
        raise ValueError(
            'lucent\'s "input" is the picture itself and no layer: make it a penalty of the ascent'
        )
    return LOGITS if name == _LABELS and name not in layers else dotted(name, layers)


def _asked(
    loss: Loss, rows: int, shapes: Mapping[str, tuple[int, ...]], device: torch.device | str
) -> tuple[str, ...]:
    """The layers that a lucent objective asks for, found by calling it on layers of ones."""
    layers: dict[str, None] = {}

    def blank(name: str) -> Tensor:
        layer = _ours(name, tuple(shapes))
        layers[layer] = None
        return torch.ones(rows, *shapes[layer], device=device)

    value = loss(blank)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise ValueError("lucent's objective does not return one number")
    return tuple(layers)
