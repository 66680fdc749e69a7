"""Layer-wise relevance propagation (Bach et al. 2015, "On pixel-wise explanations")."""

import torch
from torch import Tensor

from interp.attribution.model_copy.captum_model import captum_model, captum_target, target_score
from interp.attribution.model_copy.supported_operations import unsupported_by_lrp
from interp.attribution.relevance.composites import COMPOSITES, EPSILON, RuleSettings
from interp.attribution.relevance.propagation import with_relevance
from interp.attribution.result import Attribution, Explainer
from interp.layer import LayerPath
from interp.network.network import Network

_DEFAULTS = RuleSettings()


def lrp(
    network: Network,
    path: LayerPath,
    composite: str = EPSILON,
    settings: RuleSettings = _DEFAULTS,
) -> Explainer:
    """Prepare layer-wise relevance propagation by the rules of a composite.

    Batch norms are folded into the convolutions before them. A pixel's relevance is that of its
    normalized value. To be called, as what it returns, by the thread that runs the network.

    Args:
        network: is not changed; the relevance passes through a copy.
        path: a unit, whose position is given in numbers if it has one.
        composite: one of `COMPOSITES`; by default the epsilon rule, epsilon 1e-9 (Bach et al. 2015,
            equation 58).
        settings: of the composite's rules.

    Returns:
        what explains a unit of the same layer for one image, in units of the score; `delta` is the
        values' sum minus the score: what biases take up is missing from the sum.

    Raises:
        MethodNotApplicable: there is no rule for some step.
    """
    traced = captum_model(network, path, "LRP", unsupported_by_lrp, fuse=True)
    shape = (1, network.shape[0], 1, 1)
    low, high = (network.normalized(torch.full(shape, value)) for value in (0.0, 1.0))
    model = with_relevance(traced, COMPOSITES[composite].rules(settings, low, high))

    def explain(x: Tensor, path: LayerPath) -> Attribution:
        images = network.normalized(x).detach().requires_grad_()
        with torch.enable_grad():
            outputs = model(images)
            score = target_score(outputs, path)
            unit, *position = captum_target(path)
            activation = outputs[:, unit]
            if position:
                activation = activation[:, position[0], position[1]]
            (values,) = torch.autograd.grad(activation, images, score)
        return Attribution(values, score, values.double().sum((1, 2, 3)) - score.double())

    return explain
