"""Guided backpropagation (Springenberg et al. 2015, "Striving for simplicity")."""

import torch
from captum.attr import GuidedBackprop
from torch import Tensor

from interp.attribution.model_copy.captum_model import (
    captum_model,
    captum_target,
    captum_warnings_ignored,
    target_score,
)
from interp.attribution.model_copy.supported_operations import unsupported_by_guided_backprop
from interp.attribution.result import Attribution, Explainer
from interp.layer import LayerPath
from interp.network.network import Network


def guided_backprop(network: Network, path: LayerPath) -> Explainer:
    """Prepare the gradient whose negative part is dropped at every rectifier (Springenberg et al.
    2015, section 3.4).

    To be called, as what it returns, by the thread that runs the network.

    Args:
        network: is not changed; the hooks are on a copy.
        path: a unit, whose position is given in numbers if it has one.

    Returns:
        what explains a unit of the same layer for one image, in units of the score per unit of
        pixel value.

    Raises:
        MethodNotApplicable: the network has no rectifiers, or might hide some.
    """
    model = captum_model(network, path, "guided backprop", unsupported_by_guided_backprop)
    method = GuidedBackprop(model)

    def explain(x: Tensor, path: LayerPath) -> Attribution:
        images = network.normalized(x)
        with captum_warnings_ignored():
            grad = method.attribute(images, target=captum_target(path))
        ones, zeros = torch.ones_like(x), torch.zeros_like(x)
        scale = network.normalized(ones) - network.normalized(zeros)  # 1 / std
        return Attribution(grad.detach() * scale, target_score(model(images), path))

    return explain
