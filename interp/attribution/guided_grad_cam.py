"""Guided Grad-CAM (Selvaraju et al. 2017, section 3.2)."""

from torch import Tensor

from interp.attribution.grad_cam import grad_cam
from interp.attribution.guided_backprop import guided_backprop
from interp.attribution.result import Attribution, Explainer
from interp.layer import LayerPath
from interp.network.network import Network


def guided_grad_cam(network: Network, path: LayerPath, layer: str) -> Explainer:
    """Prepare guided backprop times Grad-CAM (Selvaraju et al. 2017, section 3.2).

    To be called, as what it returns, by the thread that runs the network.

    Args:
        network: is not changed; the hooks are on copies.
        path: a unit, whose position is given in numbers if it has one.
        layer: whose maps Grad-CAM takes, one of `grad_cam.source_layers(network, path)`.

    Returns:
        what gives values (1, C, H, W) for a unit of the same layer and one image.

    Raises:
        MethodNotApplicable: as `guided_backprop`.
    """
    guided, coarse = guided_backprop(network, path), grad_cam(network, path, layer)

    def explain(x: Tensor, path: LayerPath) -> Attribution:
        fine = guided(x, path)
        return Attribution(fine.values * coarse(x, path).values, fine.score)

    return explain
