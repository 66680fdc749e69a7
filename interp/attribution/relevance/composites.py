"""Composites: which rule of relevance propagation which layers get (Montavon et al. 2019,
"Layer-wise relevance propagation: an overview"; Kohlbrenner et al. 2020, "Towards best practice in
explaining neural network decisions with LRP").
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from torch import Tensor

from interp.attribution.relevance.rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, ZBox

EPSILON = "epsilon"  # the composite that is meant where none is named
_EXACT = 1e-9  # epsilon of that composite: next to nothing


@dataclass(frozen=True)
class RuleSettings:
    """The settings of all composites; each reads those that its row in `COMPOSITES` names.

    Attributes:
        epsilon: of the epsilon rule, above 0, in units of a layer's outputs; None: 1e-9 where it is
            the rule of all layers, else 1e-6.
        gamma: of the gamma rule, at least 0.
        alpha: of the alpha-beta rule, at least 1; beta is alpha - 1.
    """

    epsilon: float | None = None
    gamma: float = 0.25
    alpha: float = 2.0


@dataclass(frozen=True)
class LayerRules:
    """The rules of a network's layers.

    Attributes:
        convolution, linear: of these layers.
        first: of the first convolution or linear layer; None: as the others.
        unweighted: of pools, sums and batch norms that are not folded away.
    """

    convolution: Rule
    linear: Rule
    first: Rule | None = None
    unweighted: Epsilon = field(default_factory=Epsilon)


@dataclass(frozen=True)
class Composite:
    """A named choice of rules.

    Attributes:
        rules: (settings, lowest input, highest input, each (1, C, 1, 1)) -> the rules.
        settings: names of those attributes of `RuleSettings` that it reads.
    """

    rules: Callable[[RuleSettings, Tensor, Tensor], LayerRules]
    settings: tuple[str, ...]


def _epsilon(s: RuleSettings, default: float = 1e-6) -> Epsilon:
    return Epsilon(default if s.epsilon is None else s.epsilon)


COMPOSITES: Mapping[str, Composite] = MappingProxyType(
    {
        EPSILON: Composite(
            lambda s, low, high: LayerRules(
                _epsilon(s, _EXACT), _epsilon(s, _EXACT), unweighted=Epsilon(_EXACT)
            ),
            ("epsilon",),
        ),
        "gamma": Composite(
            lambda s, low, high: LayerRules(Gamma(s.gamma), Gamma(s.gamma)), ("gamma",)
        ),
        "alpha_beta": Composite(
            lambda s, low, high: LayerRules(AlphaBeta(s.alpha), AlphaBeta(s.alpha)), ("alpha",)
        ),
        "epsilon_plus": Composite(
            lambda s, low, high: LayerRules(AlphaBeta(1), _epsilon(s)), ("epsilon",)
        ),
        "epsilon_plus_flat": Composite(
            lambda s, low, high: LayerRules(AlphaBeta(1), _epsilon(s), Flat()), ("epsilon",)
        ),
        "epsilon_gamma_box": Composite(
            lambda s, low, high: LayerRules(Gamma(s.gamma), _epsilon(s), ZBox(low, high)),
            ("epsilon", "gamma"),
        ),
        "epsilon_alpha2_beta1": Composite(
            lambda s, low, high: LayerRules(AlphaBeta(2), _epsilon(s)), ("epsilon",)
        ),
        "epsilon_alpha2_beta1_flat": Composite(
            lambda s, low, high: LayerRules(AlphaBeta(2), _epsilon(s), Flat()), ("epsilon",)
        ),
    }
)
