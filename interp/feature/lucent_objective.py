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

# A `lucent.optvis.objectives.Objective`: (layer name -> activation) -> loss.
Loss = Callable[[Callable[[str], Tensor]], Tensor]

_INPUT, _LABELS = "input", "labels"  # lucent's names of the picture and of the last layer's output


def from_lucent(
    objective: Loss | str,
    rows: int,
    shapes: Mapping[str, tuple[int, ...]],
    device: torch.device | str = "cpu",
) -> Objective:
    """Make the objective of pictures that lucent's objective object is.

    Lucent's layer names have underscores for dots, and "labels" means the logits. A choice of its
    rows is scored as if the layers were 0 on the others.

    Args:
        objective: the object, or lucent's text "layer:unit".
        rows: the number B of pictures.
        shapes: layer -> shape of its output for one picture, see `Network.output_shapes`.
        device: that of the network.

    Returns:
        An objective of B rows, the sum of whose scores is minus lucent's loss.

    Raises:
        UnknownLayer: It asks for a layer that is not in `shapes`.
        ValueError: It asks for the picture itself, which no layer is (see `input_penalty`), or
            returns something else than one number.
    """
    loss = _as_loss(objective) if isinstance(objective, str) else objective
    layers = _requested_layers(loss, rows, shapes, device)

    def score(activations: Mapping[str, Tensor], places: Tensor) -> Tensor:
        def of_all_rows(name: str) -> Tensor:
            activation = activations[_layer_name(name, tuple(shapes))]
            if len(activation) == rows:
                return activation
            zeros = activation.new_zeros(rows, *activation.shape[1:])
            return zeros.index_copy(0, places, activation)

        return (-loss(of_all_rows) / len(places)).expand(len(places))

    places = torch.arange(rows, device=device)
    return Objective(layers, score, (places,), torch.zeros_like(places))


def input_penalty(objective: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """Make a penalty of lucent's objective of the picture itself, such as `blur_input_each_step`.

    Args:
        objective: one that asks for "input" alone.

    Returns:
        A penalty, see `interp.feature.penalty`; it raises ValueError where the objective asks for a
        layer.
    """

    def of_one(image: Tensor) -> Tensor:
        def activation(name: str) -> Tensor:
            if name != _INPUT:
                raise ValueError(f"a penalty sees the picture alone, not layer {name!r}")
            return image[None]

        return -objective(activation)

    return lambda images, _: torch.stack([of_one(image) for image in images])


def _as_loss(text: str) -> Loss:
    """The objective that a text of lucent's means."""
    from lucent.optvis.objectives import as_objective  # only who uses lucent's texts needs it

    loss: Loss = as_objective(text)
    return loss


def _layer_name(name: str, layers: tuple[str, ...]) -> str:
    """Our name of a layer that lucent's name means."""
    if name == _INPUT and name not in layers:
        raise ValueError(
            'lucent\'s "input" is the picture itself and no layer: make it a penalty of the ascent'
        )
    return LOGITS if name == _LABELS and name not in layers else dotted(name, layers)


def _requested_layers(
    loss: Loss, rows: int, shapes: Mapping[str, tuple[int, ...]], device: torch.device | str
) -> tuple[str, ...]:
    """The layers that a lucent objective asks for, found by calling it on layers of ones."""
    layers: dict[str, None] = {}

    def ones(name: str) -> Tensor:
        layer = _layer_name(name, tuple(shapes))
        layers[layer] = None
        return torch.ones(rows, *shapes[layer], device=device)

    value = loss(ones)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise ValueError("lucent's objective does not return one number")
    return tuple(layers)
