"""Random weights, said so openly: cheap to draw, the same every time, and with activations that
neither die nor explode.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

_DRAWS = frozenset(
    [
        "uniform_",
        "normal_",
        "trunc_normal_",
        "erfinv_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "xavier_uniform_",
        "xavier_normal_",
    ]
)

_WEIGHTED = (_ConvNd, nn.Linear)
_SPREAD = 2.0


class Uninitialized(TorchFunctionMode):
    """While active, modules are built with zeros for the weights that they would draw, until a
    state dict or `randomize` fills them.

    Drawing takes seconds for large networks. (Building them on the meta device would be quicker
    still, but not every constructor can.)
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _DRAWS:
            tensor: Tensor = args[0] if args else kwargs["tensor"]
            # some constructors draw again until a value lies in bounds: zero does
            tensor.detach().zero_()
            return tensor
        return func(*args, **kwargs)


@torch.no_grad()
def randomize(
    module: nn.Module,
    shape: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
) -> None:
    """Give `module` the same random weights every time, whatever it held.

    Convolutions and linear layers are drawn with variance 2 / fan-in (He et al. 2015, "Delving deep
    into rectifiers", eq. 10), other weights and scales are 1 and biases 0; then batch norm takes
    its statistics from a few images of `shape` (C, H, W), and the last layer is scaled to logits of
    standard deviation 2: without the one the logits of mobilenet_v2 or efficientnet_b0 vanish,
    without the other their softmax saturates, and either way there are no gradients to speak of.

    Args:
        module: that is changed.
        shape: (C, H, W) of an image.
        mean: per channel, subtracted from an image.
        std: per channel, by which an image is divided then.
        seed: of the weights and images.
    """
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if isinstance(part, _WEIGHTED) and name == "weight":
                bound = (6 / max(parameter[0].numel(), 1)) ** 0.5
                parameter.uniform_(-bound, bound, generator=generator)
            else:
                parameter.fill_(0.0 if name == "bias" else 1.0)
        if isinstance(part, _BatchNorm):
            part.reset_running_stats()
    statistics = torch.tensor(mean).view(-1, 1, 1), torch.tensor(std).view(-1, 1, 1)
    with _calibrating(module), _last_weighted(module) as called:
        logits = module((_clouds(shape, generator) - statistics[0]) / statistics[1])
    spread = logits.std(1).mean()
    if called and torch.isfinite(spread) and spread > 0:
        called[-1].weight.mul_(_SPREAD / spread)


@contextmanager
def _last_weighted(module: nn.Module) -> Iterator[list[Any]]:
    """Notes the convolutions and linear layers as they are called: the last one makes the
    logits.
    """
    called: list[Any] = []
    layers = [m for m in module.modules() if isinstance(m, _WEIGHTED)]
    handles = [m.register_forward_hook(lambda m, _, __: called.append(m)) for m in layers]
    try:
        yield called
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _calibrating(module: nn.Module) -> Iterator[None]:
    """Let batch norm, and nothing else, take over the statistics of what it sees."""
    module.eval()
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    try:
        yield
    finally:
        module.eval()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _clouds(shape: tuple[int, int, int], generator: torch.Generator, count: int = 4) -> Tensor:
    """Images in [0, 1] with structure at several scales, as photographs have, and ever more noise,
    (count, C, H, W).
    """
    channels, height, width = shape
    images = torch.zeros(count, channels, height, width)
    for cells in (2, 6, 18, 54):
        coarse = torch.rand(count, channels, cells, cells, generator=generator)
        images += F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False) / 4
    noise = torch.rand(images.shape, generator=generator)
    share = torch.linspace(0, 1, count).view(-1, 1, 1, 1)
    return torch.lerp(((images - 0.5) * 2 + 0.5).clamp(0, 1), noise, share)
