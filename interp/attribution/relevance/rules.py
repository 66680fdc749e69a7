"""Rules of layer-wise relevance propagation: what a layer's inputs get of its outputs' relevance.

Every rule shares the relevance R_k of an output by what each input j adds to it, z_jk, under some
change of inputs and weights: R_j = sum_k z_jk / (sum_j z_jk) R_k.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

STABILIZER = 1e-6


class Rule(Protocol):
    """How a layer's relevance is shared out."""

    def __call__(self, layer: nn.Module, x: Tensor, relevance: Tensor) -> Tensor:
        """Return the relevance of x.

        Args:
            layer: linear but for its bias.
            x: what it was given.
            relevance: of its output.
        """
        ...


@dataclass(frozen=True)
class Epsilon:
    """z_jk = x_j w_jk, with a denominator that small outputs share with `epsilon` (Bach et al.
    2015, equation 58). It is also the rule of pools and sums, which have no weights.
    """

    epsilon: float = STABILIZER

    def __call__(self, layer: nn.Module, x: Tensor, relevance: Tensor) -> Tensor:
        """See `Rule`."""
        term = _Term(layer, x)
        return x * term.pulled_back(relevance / stabilized(term.output, self.epsilon))


@dataclass(frozen=True)
class AlphaBeta:
    """Contributions that raise an output get `alpha` times, those that lower it minus alpha - 1
    times their share (Bach et al. 2015, equation 60). Alpha 1 is the z+ rule (Montavon et al. 2017,
    "Explaining nonlinear classification decisions with deep Taylor decomposition").
    """

    alpha: float = 2.0

    def __call__(self, layer: nn.Module, x: Tensor, relevance: Tensor) -> Tensor:
        """See `Rule`."""
        light, dark = x.clamp(min=0), x.clamp(max=0)
        up, down = _clamped(layer, low=0), _clamped(layer, high=0)
        positive = _Term(layer, light, up), _Term(layer, dark, _without_bias(down))
        found = self.alpha * _shared(positive, relevance)
        if self.alpha == 1:
            return found
        negative = _Term(layer, light, down), _Term(layer, dark, _without_bias(up))
        return found - (self.alpha - 1) * _shared(negative, relevance)


@dataclass(frozen=True)
class Gamma:
    """Weights that raise an output count 1 + `gamma` times (Montavon et al. 2019, "Layer-wise
    relevance propagation: an overview", section 10.2), for inputs and outputs of either sign
    (Andeol et al. 2021, "Learning domain invariant representations by joint Wasserstein distance
    minimization", appendix).
    """

    gamma: float = 0.25

    def __call__(self, layer: nn.Module, x: Tensor, relevance: Tensor) -> Tensor:
        """See `Rule`."""
        light, dark = x.clamp(min=0), x.clamp(max=0)
        up, down = self._weights(layer, low=0), self._weights(layer, high=0)
        with torch.no_grad():
            output = layer(x)
        raised = _Term(layer, light, up), _Term(layer, dark, _without_bias(down))
        lowered = _Term(layer, light, down), _Term(layer, dark, _without_bias(up))
        return _shared(raised, relevance * (output > 0)) + _shared(
            lowered, relevance * (output < 0)
        )

    def _weights(
        self, layer: nn.Module, low: float | None = None, high: float | None = None
    ) -> dict[str, Tensor]:
        part = _clamped(layer, low, high)
        return {name: p + self.gamma * part[name] for name, p in _parameters(layer).items()}


@dataclass(frozen=True, eq=False)
class ZBox:
    """z_jk = x_j w_jk - low_j max(w_jk, 0) - high_j min(w_jk, 0), for inputs that lie between two
    bounds (Montavon et al. 2017, section 4.2).

    Attributes:
        low, high: (1, C, 1, 1), the least and the greatest input.
    """

    low: Tensor
    high: Tensor

    def __call__(self, layer: nn.Module, x: Tensor, relevance: Tensor) -> Tensor:
        """See `Rule`."""
        low, high = (bound.expand_as(x).contiguous() for bound in (self.low, self.high))
        term = _Term(layer, x)
        lowest = _Term(layer, low, _clamped(layer, low=0))
        highest = _Term(layer, high, _clamped(layer, high=0))
        output = term.output - lowest.output - highest.output
        share = relevance / stabilized(output, STABILIZER)
        found = x * term.pulled_back(share) - low * lowest.pulled_back(share)
        return found - high * highest.pulled_back(share)


@dataclass(frozen=True)
class Flat:
    """All inputs of an output get the same share (Lapuschkin et al. 2019, "Unmasking Clever Hans
    predictors", supplement).
    """

    def __call__(self, layer: nn.Module, x: Tensor, relevance: Tensor) -> Tensor:
        """See `Rule`."""
        ones = {name: torch.ones_like(p) for name, p in _parameters(layer).items()}
        term = _Term(layer, torch.ones_like(x), _without_bias(ones))
        return term.pulled_back(relevance / stabilized(term.output, STABILIZER))


def stabilized(output: Tensor, epsilon: float) -> Tensor:
    """Return a denominator that is `epsilon` further from zero."""
    return output + torch.where(output < 0, -epsilon, epsilon)


class _Term:
    """A layer with other parameters, on another input, as a linear map."""

    def __init__(
        self, layer: nn.Module, x: Tensor, parameters: dict[str, Tensor] | None = None
    ) -> None:
        self.x = x.detach()
        with torch.enable_grad():
            self._x = self.x.clone().requires_grad_()
            self._output: Tensor = functional_call(layer, parameters or {}, (self._x,))
        self.output = self._output.detach()

    def pulled_back(self, share: Tensor) -> Tensor:
        """The transposed map of a share."""
        return torch.autograd.grad(self._output, self._x, share)[0]


def _shared(terms: tuple[_Term, _Term], relevance: Tensor) -> Tensor:
    """What the inputs of two terms get that add up."""
    one, other = terms
    share = relevance / stabilized(one.output + other.output, STABILIZER)
    return one.x * one.pulled_back(share) + other.x * other.pulled_back(share)


def _parameters(layer: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in layer.named_parameters()}


def _clamped(
    layer: nn.Module, low: float | None = None, high: float | None = None
) -> dict[str, Tensor]:
    return {name: p.clamp(min=low, max=high) for name, p in _parameters(layer).items()}


def _without_bias(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(p) if name == "bias" else p for name, p in parameters.items()}
