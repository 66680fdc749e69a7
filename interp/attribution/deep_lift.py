"""DeepLift (Shrikumar et al. 2017, "Learning important features through propagating activation
differences").
"""

import torch
from captum.attr import DeepLift
from torch import Tensor

from interp.attribution.model_copy.captum_model import (
    captum_model,
    captum_target,
    captum_warnings_ignored,
    target_score,
)
from interp.attribution.model_copy.supported_operations import unsupported_by_deep_lift
from interp.attribution.result import Attribution, Explainer
from interp.layer import LayerPath
from interp.network.network import Network


def deep_lift(network: Network, path: LayerPath, baseline: float = 0.0) -> Explainer:
    """Prepare differences from a baseline, by the rescale rule (Shrikumar et al. 2017, section
    3.5.1).

    Overlapping max pools share out what they gain window by window. To be called, as what it
    returns, by the thread that runs the network.

    Args:
        network: is not changed; the hooks are on a copy.
        path: a unit, whose position is given in numbers if it has one.
        baseline: pixel value in [0, 1]; 0 is black, not the gray that a normalized 0 would be.

    Returns:
        what explains a unit of the same layer for one image, in units of the score; `delta` is the
        values' sum minus the difference of the scores of image and baseline.

    Raises:
        MethodNotApplicable: a step is neither linear nor of one input and one output.
    """
    model = captum_model(network, path, "DeepLift", unsupported_by_deep_lift)
    method = DeepLift(model)

    def explain(x: Tensor, path: LayerPath) -> Attribution:
        images, start = network.normalized(x), network.normalized(torch.full_like(x, baseline))
        with captum_warnings_ignored():
            values = method.attribute(images, start, target=captum_target(path)).detach()
        score, before = (target_score(model(z), path) for z in (images, start))
        gain = (score - before).double()
        return Attribution(values, score, values.double().sum((1, 2, 3)) - gain)

    return explain
