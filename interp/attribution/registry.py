"""All attribution methods by name: what each is given, and how it is run.

A new method is a module beside this one and a row in `ATTRIBUTION_METHODS`, under the name that its
value of the contract's `AttributionMethod` has in lower case.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from interp.attribution.input_x_gradient import input_x_gradient
from interp.attribution.integrated_gradients import integrated_gradients
from interp.attribution.occlusion import occlusion
from interp.attribution.relevance.composites import EPSILON, RuleSettings
from interp.attribution.result import Attribution, Explainer
from interp.attribution.saliency import saliency
from interp.attribution.smooth_grad import smooth_grad
from interp.layer import LayerPath
from interp.network.network import Network
from interp.objective import Objective
from interp.probe import Procedure
from interp.seeds import Generators


@dataclass(frozen=True)
class AttributionSettings:
    """The settings of all methods; each reads those that its row in the registry names.

    Attributes:
        steps: nodes of integrated gradients, at least 1.
        samples: noisy copies of SmoothGrad, at least 1.
        noise: standard deviation of SmoothGrad's noise, in pixel units.
        baseline: pixel value in [0, 1]; None: the method's own, 0 of integrated gradients and
            DeepLift, 0.5 of occlusion.
        window, stride: of occlusion, in pixels; None: see `occlusion`.
        layer: whose maps Grad-CAM takes, see `grad_cam.check_layer`.
        composite: of LRP, one of `COMPOSITES`.
        epsilon, gamma, alpha: of LRP's rules, see `RuleSettings`.
    """

    steps: int = 50
    samples: int = 25
    noise: float = 0.15
    baseline: float | None = None
    window: int | None = None
    stride: int | None = None
    layer: str = ""
    composite: str = EPSILON
    epsilon: float | None = None
    gamma: float = RuleSettings.gamma
    alpha: float = RuleSettings.alpha

    def baseline_or(self, default: float) -> float:
        """Return the baseline, or `default` where none is given."""
        return default if self.baseline is None else self.baseline


@dataclass(frozen=True)
class ProcedureMethod:
    """A method that asks for scores and gradients alone.

    Attributes:
        run: (images (B, C, H, W) in [0, 1], an objective of B rows, settings, one generator a row)
            -> the procedure.
        settings: names of those attributes of `AttributionSettings` that it reads.
        signed: whether values below zero mean something.
    """

    run: Callable[[Tensor, Objective, AttributionSettings, Generators], Procedure[Attribution]]
    settings: tuple[str, ...] = ()
    signed: bool = True


@dataclass(frozen=True)
class HookedMethod:
    """A method that hooks modules of a private copy of the network.

    Attributes:
        prepare: (network, a unit, settings) -> what explains units of the same layer, an image at a
            time. It imports captum, which takes seconds.
        settings: names of those attributes of `AttributionSettings` that it reads.
        signed: whether values below zero mean something.
    """

    prepare: Callable[[Network, LayerPath, AttributionSettings], Explainer]
    settings: tuple[str, ...] = ()
    signed: bool = True

    @property
    def takes_layer(self) -> bool:
        """Whether it needs a layer, chosen by `grad_cam.check_layer`."""
        return "layer" in self.settings


AttributionMethod = ProcedureMethod | HookedMethod


def _guided_backprop(network: Network, path: LayerPath, _: AttributionSettings) -> Explainer:
    from interp.attribution.guided_backprop import guided_backprop

    return guided_backprop(network, path)


def _deep_lift(network: Network, path: LayerPath, settings: AttributionSettings) -> Explainer:
    from interp.attribution.deep_lift import deep_lift

    return deep_lift(network, path, settings.baseline_or(0.0))


def _grad_cam(network: Network, path: LayerPath, settings: AttributionSettings) -> Explainer:
    from interp.attribution.grad_cam import grad_cam

    return grad_cam(network, path, settings.layer)


def _guided_grad_cam(network: Network, path: LayerPath, settings: AttributionSettings) -> Explainer:
    from interp.attribution.guided_grad_cam import guided_grad_cam

    return guided_grad_cam(network, path, settings.layer)


def _lrp(network: Network, path: LayerPath, settings: AttributionSettings) -> Explainer:
    from interp.attribution.lrp import lrp

    rules = RuleSettings(settings.epsilon, settings.gamma, settings.alpha)
    return lrp(network, path, settings.composite, rules)


ATTRIBUTION_METHODS: Mapping[str, AttributionMethod] = MappingProxyType(
    {
        "saliency": ProcedureMethod(lambda x, o, s, rows: saliency(x, o), signed=False),
        "input_x_gradient": ProcedureMethod(lambda x, o, s, rows: input_x_gradient(x, o)),
        "integrated_gradients": ProcedureMethod(
            lambda x, o, s, rows: integrated_gradients(x, o, s.steps, s.baseline_or(0.0)),
            ("steps", "baseline"),
        ),
        "smooth_grad": ProcedureMethod(
            lambda x, o, s, rows: smooth_grad(x, o, rows, s.samples, s.noise),
            ("samples", "noise"),
        ),
        "occlusion": ProcedureMethod(
            lambda x, o, s, rows: occlusion(x, o, s.window, s.stride, s.baseline_or(0.5)),
            ("window", "stride", "baseline"),
        ),
        "guided_backprop": HookedMethod(_guided_backprop),
        "deep_lift": HookedMethod(_deep_lift, ("baseline",)),
        "grad_cam": HookedMethod(_grad_cam, ("layer",), signed=False),
        "guided_grad_cam": HookedMethod(_guided_grad_cam, ("layer",)),
        "lrp": HookedMethod(_lrp, ("composite", "epsilon", "gamma", "alpha")),
    }
)
