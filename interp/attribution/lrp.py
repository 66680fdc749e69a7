"""Layer-wise relevance propagation (Bach et al. 2015, "On pixel-wise explanations")."""

from captum.attr import LRP
from torch import Tensor

from interp.attribution.model_copy.captum_model import (
    captum_model,
    captum_target,
    captum_warnings_ignored,
    target_score,
)
from interp.attribution.model_copy.supported_operations import unsupported_by_lrp
from interp.attribution.result import Attribution, Explainer
from interp.layer import LayerPath
from interp.network.network import Network


def lrp(network: Network, path: LayerPath) -> Explainer:
    """Prepare layer-wise relevance propagation by the epsilon rule, epsilon 1e-9 (Bach et al. 2015,
    equation 58).

    Batch norms are folded into the convolutions before them. A pixel's relevance is that of its
    normalized value. To be called, as what it returns, by the thread that runs the network.

    Args:
        network: is not changed; the hooks are on a copy.
        path: a unit, whose position is given in numbers if it has one.

    Returns:
        what explains a unit of the same layer for one image, in units of the score; `delta` is the
        values' sum minus the score: what biases take up is missing from the sum.

    Raises:
        MethodNotApplicable: there is no rule for some step.
    """
    model = captum_model(network, path, "LRP", unsupported_by_lrp, fuse=True)
    method = _EpsilonLRP(model)

    def explain(x: Tensor, path: LayerPath) -> Attribution:
        images = network.normalized(x)
        with captum_warnings_ignored():
            values = method.attribute(images, target=captum_target(path)).detach()
        score = target_score(model(images), path)
        return Attribution(values, score, values.double().sum((1, 2, 3)) - score.double())

    return explain


class _EpsilonLRP(LRP):  # type: ignore[misc] # captum has no types
    """captum's, which writes all weights back although the epsilon rule changes none; here they are
    the hosted network's.
    """

    def _restore_state(self) -> None:
        pass
