"""The networks that are known by name, and where their published weights, preprocessing and class
names come from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from interp.network.architectures import CifarResNet, CifarTwin, LeNet5
from service.datasets.classes import CIFAR10, DIGITS
from service.imaging import Preprocessing
from service.models import small_image_networks
from service.models.checkpoints import ModelError

EMBEDDED_WEIGHTS = Path(__file__).parent / "weights"

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CIFAR = Preprocessing(3, 32, 32, 32, "bilinear", _IMAGENET_MEAN, _IMAGENET_STD)
_TWINS = Preprocessing(
    3, 32, 32, 32, "bilinear", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
)
# Networks that take pixels as they are, or normalize them themselves.
_PIXELS = Preprocessing(3, 32, 32, 32, "bilinear", (0.0,) * 3, (1.0,) * 3)
_DIGITS = Preprocessing(1, 32, 32, 32, "bilinear", (0.5,), (0.5,))
# The network was trained on pixels of 0 to 255, less 117.
_INCEPTIONV1 = Preprocessing(3, 224, 224, 224, "bilinear", (117 / 255,) * 3, (1 / 255,) * 3)


@dataclass(frozen=True)
class Published:
    """Weights that somebody has published for an architecture.

    Attributes:
        name: what ModelInfo calls them.
        preprocessing, classes: those that the weights were trained for; no classes if they are not
            known.
        license, source: what was said of them; "" for nothing.
        file: where the state dict is, once downloaded into the given folder; raises ModelError.
            None: nobody published any.
    """

    name: str
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    file: Callable[[Path], Path] | None = None
    license: str = ""
    source: str = ""


@dataclass(frozen=True)
class Architecture:
    """A network by name; `build(classes)` makes it with that many logits, or with its own number
    for None.
    """

    name: str
    build: Callable[[int | None], nn.Module]
    published: Published  # by default
    others: Mapping[str, Callable[[], Published]]  # by name


def names() -> tuple[str, ...]:
    """All names that `architecture` knows."""
    # torchvision takes a third of the time in which a server starts: it waits until it is needed.
    from service.models.sources import torchvision_networks

    return (*_BUILT_IN, *small_image_networks.listed(), *torchvision_networks.names())


def architecture(name: str) -> Architecture | None:
    """Find an architecture by name.

    Args:
        name: of the architecture.

    Returns:
        The architecture; None if there is none of that name.
    """
    if name in _BUILT_IN:
        build, published = _BUILT_IN[name]
        return Architecture(name, build, published, {})
    build_small = small_image_networks.builder(name)
    if build_small is not None:
        seen = _TWINS if small_image_networks.uses_silu(name) else _PIXELS
        return Architecture(name, build_small, Published("", seen, CIFAR10), {})
    from service.models.sources import torchvision_networks

    return torchvision_networks.architecture(name)


def _inceptionv1(classes: int | None) -> nn.Module:
    """lucent's network, whose softmax gives way to the logits before it."""
    from lucent.modelzoo.inceptionv1 import InceptionV1

    if classes not in (None, 1008):
        raise ModelError(f"inceptionv1 has 1008 classes, not {classes}")
    module: nn.Module = InceptionV1(pretrained=False, redirected_ReLU=False)
    module.softmax2 = nn.Identity()
    return module


def _embedded(name: str, preprocessing: Preprocessing, classes: tuple[str, ...]) -> Published:
    def file(_: Path) -> Path:
        return EMBEDDED_WEIGHTS / f"{name}.safetensors"

    return Published("embedded", preprocessing, classes, file, "Apache-2.0", "Striate")


def _cifar_resnet(depth: int, classes: int | None) -> nn.Module:
    return CifarResNet(depth, classes or 10)


_BUILT_IN: dict[str, tuple[Callable[[int | None], nn.Module], Published]] = {
    "digits-lenet5": (
        lambda n: LeNet5(n or 10),
        _embedded("digits-lenet5", _DIGITS, DIGITS),
    ),
    **{
        name: (
            lambda n: CifarTwin(n or 10),
            _embedded(name, _TWINS, CIFAR10),
        )
        for name in ("cifar10-plain", "cifar10-robust")
    },
    "lenet5": (lambda n: LeNet5(n or 10), Published("", _DIGITS, DIGITS)),
    **{
        f"cifar_resnet{d}": (partial(_cifar_resnet, d), Published("", _CIFAR, CIFAR10))
        for d in (20, 32, 44, 56, 110)
    },
    # lucent publishes weights, but no digest that a download could be held to: they come from the
    # weights folder.
    "inceptionv1": (_inceptionv1, Published("", _INCEPTIONV1, ())),
}


def download_folder(weights_dir: Path | None) -> Path:
    """Find where downloads are kept.

    Args:
        weights_dir: the weights folder, if there is one.

    Returns:
        The weights folder, else torch hub's.
    """
    return weights_dir or Path(torch.hub.get_dir()) / "checkpoints"
