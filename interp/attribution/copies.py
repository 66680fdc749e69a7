"""Private copies of a network, for methods that hook its modules: the network itself is never
touched.

A copy has the network's own parameters, so it takes hardly any memory, and lasts as long as one
explanation.
"""

import copy

import torch
from torch import Tensor, nn

from interp.attribution.result import Unexplainable
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network


def shared_copy(module: nn.Module) -> nn.Module:
    """A copy of a module with the very same parameters and buffers, in which nothing is done in
    place where a module can be told.
    """
    twin = copy.deepcopy(module, {id(t): t for t in (*module.parameters(), *module.buffers())})
    for part in twin.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    return twin


class Watched(nn.Module):
    """A copy as it is, whose forward pass maps images in [0, 1] to the score (B, 1) of a unit.

    Works on every network, also one that cannot be traced. `layers` holds its modules by dotted
    name.
    """

    def __init__(self, network: Network, path: LayerPath) -> None:
        super().__init__()
        self.copy = shared_copy(network.module)
        self.layers = {name: part for name, part in self.copy.named_modules() if name}
        self.path, self._normalize = (
            path.resolved(network.output_shapes[path.layer]),
            network.normalized,
        )
        self._seen: Tensor | None = None
        if path.layer != LOGITS:
            self.layers[path.layer].register_forward_hook(self._see)

    def _see(self, _: nn.Module, __: object, output: Tensor) -> Tensor:
        self._seen = output
        return output.clone()  # what is done to it in place later is not the layer's

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.copy(self._normalize(images))
        found = logits if self.path.layer == LOGITS else self._seen
        self._seen = None
        assert found is not None
        unit = found[:, self.path.unit or 0]
        at = (
            unit
            if self.path.position is None
            else unit[:, self.path.position[0], self.path.position[1]]
        )
        return at.flatten(1).mean(1, keepdim=True) if at.ndim > 1 else at[:, None]


def sources(network: Network, path: LayerPath) -> list[str]:
    """The layers with rows and columns, and more than one position, that a unit is computed from,
    in the order of the forward pass.
    """
    before = (
        network.layers
        if path.layer == LOGITS
        else network.layers[: network.layers.index(path.layer)]
    )
    wide = [
        name
        for name in before
        if len(shape := network.output_shapes[name]) == 3 and shape[1] * shape[2] > 1
    ]
    watched, seen = Watched(network, path), dict[str, Tensor]()

    def see(name: str, output: Tensor) -> Tensor:
        seen[name] = output
        return output.clone()

    for name in wide:
        watched.layers[name].register_forward_hook(
            lambda _, __, output, name=name: see(name, output)
        )
    image = torch.full(
        (1, *network.shape), 0.5, device=network.device, dtype=network.dtype
    ).requires_grad_()
    grads = (
        torch.autograd.grad(watched(image).sum(), [seen[name] for name in wide], allow_unused=True)
        if wide
        else ()
    )
    return [name for name, grad in zip(wide, grads, strict=True) if grad is not None]


def check_source(network: Network, path: LayerPath, layer: str) -> str:
    """The layer of Grad-CAM: the one named, or for "" the last of `sources`.

    Raises:
        ValueError: the unit is not computed from the layer named, or the layer has no rows and
            columns.
        Unexplainable: there is no such layer at all.
    """
    found = sources(network, path)
    if layer and layer not in found:
        raise ValueError(f"{path.layer} is not computed from the rows and columns of {layer}")
    if not found:
        raise Unexplainable(
            f"Grad-CAM does not apply to {path.layer}: no layer with rows and columns lies "
            f"before it"
        )
    return layer or found[-1]
