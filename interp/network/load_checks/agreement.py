"""Whether two passes gave the same numbers, but for rounding."""

import torch
from torch import Tensor

from interp.network.load_checks.layer_trace import LayerTrace

_OF_SPREAD, _OF_SIZE = 1e-3, 1e-5  # what float32 leaves of accuracy after hundreds of layers
# of a layer, which may lie beyond a saturated one; what is no rounding changes all of the spread
_LAYER_SPREAD = 0.03


def layers_agree(actual: Tensor, expected: Tensor) -> bool:
    """Whether two samples of a layer's entries are the same but for rounding, see `agree`."""
    return agree(actual, expected, _LAYER_SPREAD)


def agree(actual: Tensor, expected: Tensor, of_spread: float = _OF_SPREAD) -> bool:
    """Whether two tensors are the same but for rounding. Infinite entries and those that are not
    numbers must be the same.

    Args:
        actual, expected: of any shape.
        of_spread: the difference that is taken for rounding, as a share of the range of `expected`.
    """
    if actual.shape != expected.shape:
        return False
    actual, expected = actual.double(), expected.double()
    finite = expected.isfinite()
    if not torch.equal(actual[~finite].nan_to_num(), expected[~finite].nan_to_num()):
        return False
    actual, expected = actual[finite], expected[finite]
    if not expected.numel():
        return True
    spread = expected.max() - expected.min()
    bound = of_spread * spread + _OF_SIZE * expected.abs().max()
    return bool(((actual - expected).abs() <= bound).all())


def passes_agree(actual: LayerTrace, expected: LayerTrace) -> bool:
    """Whether two passes of the same images gave the same logits and the same entries of every
    layer.
    """
    return (
        actual.shapes == expected.shapes
        and actual.samples.keys() == expected.samples.keys()
        and agree(actual.logits, expected.logits)
        and all(layers_agree(actual.samples[n], sample) for n, sample in expected.samples.items())
    )
