"""Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks")."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.attribution.model_copy.hooked_copy import HookedCopy
from interp.attribution.result import Attribution, Explainer, MethodNotApplicable
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network


def grad_cam(network: Network, path: LayerPath, layer: str) -> Explainer:
    """Prepare a layer's maps, weighted by their mean gradients, added up and rectified (Selvaraju
    et al. 2017, equations 1 and 2).

    To be called, as what it returns, by the thread that runs the network.

    Args:
        network: is not changed; the hooks are on a copy. Any network will do, also one that cannot
            be traced.
        path: a unit.
        layer: one of `source_layers(network, path)`.

    Returns:
        what gives values (1, 1, H, W) of at least 0 for a unit of the same layer and one image,
        drawn up to the image's size bilinearly.
    """
    copy = HookedCopy(network, path)
    outputs = _keep_outputs(copy, [layer])

    def explain(x: Tensor, path: LayerPath) -> Attribution:
        copy.path = path
        images = x.to(network.device, network.dtype)
        with torch.enable_grad():
            score = copy(images.detach().requires_grad_())
            output = outputs.pop(layer)
            (grad,) = torch.autograd.grad(score.sum(), output)
        present = network.layouts[layer].present
        weights = present(grad).mean((2, 3), keepdim=True)  # (1, K, 1, 1)
        maps = F.relu((weights * present(output.detach())).sum(1, keepdim=True))  # (1, 1, h, w)
        values = F.interpolate(maps, x.shape[2:], mode="bilinear", align_corners=False)
        return Attribution(values, score.detach()[:, 0])

    return explain


def source_layers(network: Network, path: LayerPath) -> list[str]:
    """List the layers with rows and columns, and more than one position, that a unit is computed
    from.

    To be called by the thread that runs the network.

    Args:
        network: is not changed.
        path: a unit.

    Returns:
        their dotted names in the order of the forward pass.
    """
    before = network.layers
    if path.layer != LOGITS:
        before = network.layers[: network.layers.index(path.layer)]
    spatial = [
        name
        for name in before
        if _is_spatial(network.output_shapes[name]) and name not in network.unavailable
    ]
    copy = HookedCopy(network, path)
    outputs = _keep_outputs(copy, spatial)
    if not spatial:
        return []
    image = torch.full((1, *network.shape), 0.5, device=network.device, dtype=network.dtype)
    score = copy(image.requires_grad_()).sum()
    grads = torch.autograd.grad(score, [outputs[name] for name in spatial], allow_unused=True)
    return [name for name, grad in zip(spatial, grads, strict=True) if grad is not None]


def _keep_outputs(copy: HookedCopy, layers: Sequence[str]) -> dict[str, Tensor]:
    """A dictionary that every forward pass fills with these layers' outputs; what follows is given
    clones, and may overwrite them.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> Tensor:
        outputs[name] = output
        return output.clone()

    for name in layers:
        copy.layers[name].register_forward_hook(lambda _, __, output, name=name: keep(name, output))
    return outputs


def _is_spatial(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[1] * shape[2] > 1


def check_layer(network: Network, path: LayerPath, layer: str) -> str:
    """Return the layer whose maps Grad-CAM takes: the one named, or for "" the last that can be.

    To be called by the thread that runs the network.

    Args:
        network: is not changed.
        path: a unit.
        layer: dotted name, or "".

    Raises:
        ValueError: the unit is not computed from the layer named, or the layer has no rows and
            columns.
        MethodNotApplicable: there is no such layer at all.
    """
    sources = source_layers(network, path)
    if layer and layer not in sources:
        raise ValueError(f"{path.layer} is not computed from the rows and columns of {layer}")
    if not sources:
        raise MethodNotApplicable(
            f"Grad-CAM does not apply to {path.layer}: no layer with rows and columns lies "
            f"before it"
        )
    return layer or sources[-1]
