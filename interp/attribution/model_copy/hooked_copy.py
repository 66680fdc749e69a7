"""A copy of a network as it is, with the same parameters, for methods that hook its modules."""

from torch import Tensor, nn

from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from interp.network.shared_copy import shared_copy


def copy_without_in_place(module: nn.Module) -> nn.Module:
    """Copy a module, but not its tensors: the copy has the very same ones.

    Args:
        module: is not changed.

    Returns:
        the copy, in which nothing is done in place where a module can be told.
    """
    twin = shared_copy(module)
    for part in twin.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    return twin


class HookedCopy(nn.Module):
    """A copy of a network whose forward pass maps images in [0, 1] to the score (B, 1) of a unit.

    It works for every network, also for one that cannot be traced.

    Attributes:
        layers: the copy's modules by dotted name.
        path: the unit; another one of the same layer may be set.
    """

    def __init__(self, network: Network, path: LayerPath) -> None:
        """Copy a network.

        Args:
            network: is not changed.
            path: a unit of one of its layers, or of "logits".
        """
        super().__init__()
        self.copy = copy_without_in_place(network.module)
        self.layers = {name: part for name, part in self.copy.named_modules() if name}
        self.path = path.resolved(network.output_shapes[path.layer])
        self._normalize, self._layouts = network.normalized, network.layouts
        self._output: Tensor | None = None  # of the unit's layer in the present forward pass
        if path.layer != LOGITS:
            self.layers[path.layer].register_forward_hook(self._keep_output)

    def _keep_output(self, _: nn.Module, __: object, output: Tensor) -> Tensor:
        self._output = self._layouts[self.path.layer].present(output)
        return output.clone()  # what is done to it in place later is not the layer's

    def forward(self, images: Tensor) -> Tensor:
        """Return the score (B, 1) of images (B, C, H, W) in [0, 1]: the unit's activation, or the
        mean over its positions.
        """
        logits: Tensor = self.copy(self._normalize(images))
        output = logits if self.path.layer == LOGITS else self._output
        self._output = None
        assert output is not None
        activation = output[:, self.path.unit or 0]
        if self.path.position is not None:
            activation = activation[:, self.path.position[0], self.path.position[1]]
        if activation.ndim == 1:
            return activation[:, None]
        return activation.flatten(1).mean(1, keepdim=True)
