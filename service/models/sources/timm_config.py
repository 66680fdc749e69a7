"""From what timm's registry tells of a network to how images become its input, and to what its
classes are called.
"""

import importlib
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from service.imaging import Interpolation, Preprocessing

_INTERPOLATIONS: dict[str, Interpolation] = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
}
_CROPS = {
    "squash": "timm squeezes images that are not square, instead of cropping them",
    "border": "timm puts images that are not square into a border, instead of cropping them",
}


@dataclass(frozen=True)
class TimmConfig:
    """What timm's registry tells of a network.

    Attributes:
        name: as timm calls it, such as "resnet18.a1_in1k", or without a tag.
        architecture: such as "resnet18".
        tag: of the pretrained weights, such as "a1_in1k"; "" for none.
        cfg: timm's own `PretrainedCfg`.
    """

    name: str
    architecture: str
    tag: str
    cfg: Any

    @property
    def tagged(self) -> str:
        """The name with its tag, if there is one."""
        return f"{self.architecture}.{self.tag}" if self.tag else self.architecture

    @property
    def classifiers(self) -> tuple[str, ...]:
        """Dotted names of the layers that make the logits."""
        named = self.cfg.classifier
        return (named,) if isinstance(named, str) else tuple(named or ())


def preprocessing(cfg: Any) -> tuple[Preprocessing, tuple[str, ...]]:
    """Read how a network takes images, as timm's evaluation has them.

    Args:
        cfg: timm's `PretrainedCfg`.

    Returns:
        The preprocessing, and what it does in another way than timm.
    """
    channels, height, width = cfg.input_size
    interpolation = _INTERPOLATIONS.get(cfg.interpolation)
    doubts = []
    if interpolation is None:
        doubts.append(
            f"timm resizes its images with interpolation {cfg.interpolation!r}; here bicubic does"
        )
    if cfg.crop_mode in _CROPS:
        doubts.append(
            f"{_CROPS[cfg.crop_mode]} (crop_mode {cfg.crop_mode!r}); here their short side is "
            f"resized and the centre cropped"
        )
    resize = math.floor(max(height, width) / cfg.crop_pct)
    mean, std = (_of_channels(values, channels) for values in (cfg.mean, cfg.std))
    seen = Preprocessing(channels, height, width, resize, interpolation or "bicubic", mean, std)
    return seen, tuple(doubts)


def _of_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def labels(cfg: Any) -> tuple[str, ...]:
    """Find what a network's classes are called.

    Args:
        cfg: timm's `PretrainedCfg`; its own labels go first, then those of the subset of ImageNet
            that timm takes a number of classes for.

    Returns:
        The names in the order of the logits; none where timm does not know them.
    """
    if cfg.label_names:
        described = cfg.label_descriptions or {}
        return tuple(str(described.get(label, label)) for label in cfg.label_names)
    found = _of_imagenet(cfg.num_classes)
    return found if len(found) == cfg.num_classes else ()


@cache
def _of_imagenet(classes: int) -> tuple[str, ...]:
    """The classes of the subset of ImageNet that timm takes a number of classes for, if any."""
    data = importlib.import_module("timm.data")
    subset = data.infer_imagenet_subset({"num_classes": classes})
    return () if subset is None else tuple(data.ImageNetInfo(subset).label_descriptions())
