"""The networks for images of 32 x 32 that are known by name without published weights of their own,
such as those of adversarial training.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from torch import Tensor, nn

from interp.network.architectures import (
    PreActResNet18,
    SamePaddingWideResNet,
    SmallImageResNet,
    WideResNet,
)

Build = Callable[[int | None], nn.Module]

# Names that are listed; any other depth and widening of the wide networks is known, too.
LISTED_WIDE = ("wide_resnet28_10", "wide_resnet34_10", "silu_wide_resnet28_10")

_WIDE = re.compile(r"(silu_)?wide_resnet(\d{2,3})_(\d{1,2})")
_MOST_DEPTH, _MOST_WIDENING = 154, 32
_NAMED: Mapping[str, Build] = {
    **{
        f"resnet{depth}_cifar": partial(lambda depth, n: SmallImageResNet(depth, n or 10), depth)
        for depth in (18, 34, 50)
    },
    # Rice et al. 2020 ("Overfitting in adversarially robust deep learning").
    "preact_resnet18": lambda n: PreActResNet18(n or 10),
    "preact_resnet18_no_last_norm": lambda n: PreActResNet18(n or 10, last_norm=False),
    # Wong et al. 2020 ("Fast is better than free"), Andriushchenko and Flammarion 2020.
    "preact_resnet18_raw_shortcut": lambda n: PreActResNet18(
        n or 10, last_norm=False, raw_shortcut=True
    ),
}


def listed() -> tuple[str, ...]:
    """Names that are listed."""
    return (*_NAMED, *LISTED_WIDE)


def builder(name: str) -> Build | None:
    """Find the network of a name.

    Args:
        name: such as "wide_resnet28_10": depth 28, widening 10.

    Returns:
        What builds it with a number of logits, None for 10; None for an unknown name.
    """
    match = _WIDE.fullmatch(name)
    if match is None:
        return _NAMED.get(name)
    depth, widening = int(match[2]), int(match[3])
    if not (10 <= depth <= _MOST_DEPTH and depth % 6 == 4 and 1 <= widening <= _MOST_WIDENING):
        return None
    make = SamePaddingWideResNet if match[1] else WideResNet
    return lambda classes: make(depth, widening, classes or 10)


def uses_silu(name: str) -> bool:
    """Tell whether a name is that of a network of Gowal et al. 2020.

    Args:
        name: of a network.

    Returns:
        Whether it is; their weights were trained on normalized images.
    """
    return name.startswith("silu_")


def wide_names(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Name the wide networks that tensors may belong to, by their numbers and shapes.

    Args:
        tensors: by name, prefixes included.

    Yields:
        Names that `builder` knows.
    """
    for prefix, first in (
        ("", r"(?:^|\.)block1\.layer\.(\d+)\.conv2\.weight$"),
        ("silu_", r"(?:^|\.)layer\.0\.block\.(\d+)\.conv_1\.weight$"),
    ):
        found = [(m, t) for k, t in tensors.items() if (m := re.search(first, k))]
        if found:
            blocks = 1 + max(int(match[1]) for match, _ in found)
            widening = found[0][1].shape[0] // 16
            yield f"{prefix}wide_resnet{6 * blocks + 4}_{widening}"
