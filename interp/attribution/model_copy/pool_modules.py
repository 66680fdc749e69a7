"""Pools as modules that captum's methods treat as they should."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

_SPATIAL_DIMENSIONS = ({2, 3}, {-2, -1})
_MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_AVERAGE_POOL = (
    "kernel_size",
    "stride",
    "padding",
    "ceil_mode",
    "count_include_pad",
    "divisor_override",
)


class GlobalAvgPool(nn.Module):
    """The mean over positions: (B, K, h, w) -> (B, K)."""

    def __init__(self) -> None:
        """Make the module, which has no parameters."""
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the means (B, K) of x (B, K, h, w)."""
        means: Tensor = self.pool(x)
        return means.flatten(1)


class NonOverlappingMaxPool2d(nn.Module):
    """A max pool whose windows overlap, as one of windows that do not: each is copied out first,
    which is the same function.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        """Take the settings of a pool.

        Args:
            pool: any max pool of two dimensions; it is not changed.
        """
        super().__init__()
        self._kernel, self._stride, self._padding, self._dilation = _pairs(pool)
        self._overlapping = partial(
            F.max_pool2d, **{name: getattr(pool, name) for name in _MAX_POOL}
        )
        self.pool = nn.MaxPool2d((self._kernel[0] * self._kernel[1], 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return what the pool gives for x (B, K, h, w)."""
        batch, channels, *sides = x.shape
        after = self._overlapping(x[:1, :1].detach()).shape[2:]
        ends = [
            (n - 1) * s + d * (k - 1) + 1 - side - p
            for n, s, d, k, side, p in zip(
                after, self._stride, self._dilation, self._kernel, sides, self._padding, strict=True
            )
        ]
        lowest = torch.finfo(x.dtype).min / 4  # minus infinity less itself would be no number
        x = F.pad(x, (self._padding[1], ends[1], self._padding[0], ends[0]), value=lowest)
        windows = F.unfold(x, self._kernel, self._dilation, 0, self._stride).view(
            batch, channels, -1, after[0] * after[1]
        )
        highest: Tensor = self.pool(windows)
        return highest.view(batch, channels, *after)


def windows_overlap(pool: nn.MaxPool2d) -> bool:
    """Whether a position can be in several windows of a pool."""
    kernel, stride, _, dilation = _pairs(pool)
    return dilation != (1, 1) or any(s < k for s, k in zip(stride, kernel, strict=True))


def _pairs(pool: nn.MaxPool2d) -> list[tuple[int, int]]:
    values: list[Any] = [pool.kernel_size, pool.stride, pool.padding, pool.dilation]
    return [(value, value) if isinstance(value, int) else tuple(value) for value in values]


def pool_module(node: fx.Node) -> nn.Module | None:
    """Return the pool that a node calls as a function, as a module with the same settings.

    Args:
        node: a call of a function or of a tensor's method, whose input's shape has been recorded.

    Returns:
        the module; None if the node calls no pool, or one whose settings are computed.
    """
    target: Any = node.target
    if any(isinstance(a, fx.Node) for a in node.args[1:]):
        return None
    if target is F.max_pool2d or target is torch.max_pool2d:
        return nn.MaxPool2d(**_settings(node, _MAX_POOL))
    if target is F.avg_pool2d:
        return nn.AvgPool2d(**_settings(node, _AVERAGE_POOL))
    if target is F.adaptive_avg_pool2d:
        return nn.AdaptiveAvgPool2d(**_settings(node, ("output_size",)))
    if target in (torch.mean, "mean"):
        settings = _settings(node, ("dim", "keepdim"))
        dims = settings.get("dim")
        of_maps = len(node.all_input_nodes[0].meta["shape"]) == 4
        if of_maps and isinstance(dims, tuple | list) and set(dims) in _SPATIAL_DIMENSIONS:
            return nn.AdaptiveAvgPool2d(1) if settings.get("keepdim") else GlobalAvgPool()
    return None


def _settings(node: fx.Node, names: tuple[str, ...]) -> dict[str, Any]:
    given = dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
    return {name: value for name, value in given.items() if name in names}
