"""Hugging Face's ResNet as torchvision's: the same function under other names (He et al. 2015,
"Deep Residual Learning for Image Recognition", with the stride of a bottleneck on its 3 x 3
convolution).
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from service.models.checkpoints import ModelError
from service.models.recipe import Argument, Recipe

ARCHITECTURE = "ResNetForImageClassification"

_STAGES = 4
_MAX_CLASSES = 1_000_000
_EXPANSION = {"basic": 1, "bottleneck": 4}  # channels of a block's output over its inside's

Depth = Annotated[int, Field(ge=1, le=256)]

_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"^resnet\.embedder\.embedder\.convolution\."), lambda m: "conv1."),
    (re.compile(r"^resnet\.embedder\.embedder\.normalization\."), lambda m: "bn1."),
    (
        re.compile(r"^resnet\.encoder\.stages\.(\d+)\.layers\.(\d+)\."),
        lambda m: f"layer{int(m[1]) + 1}.{m[2]}.",
    ),
    (re.compile(r"\bshortcut\.convolution\."), lambda m: "downsample.0."),
    (re.compile(r"\bshortcut\.normalization\."), lambda m: "downsample.1."),
    (re.compile(r"\blayer\.(\d+)\.convolution\."), lambda m: f"conv{int(m[1]) + 1}."),
    (re.compile(r"\blayer\.(\d+)\.normalization\."), lambda m: f"bn{int(m[1]) + 1}."),
    (re.compile(r"^classifier\.1\."), lambda m: "fc."),
)


class ResNetConfig(BaseModel):
    """What config.json says of a ResNet; what it leaves out is what transformers takes for it."""

    model_config = ConfigDict(frozen=True)

    architecture: str = ARCHITECTURE
    num_channels: int = 3
    embedding_size: int = 64
    hidden_sizes: tuple[int, ...] = (256, 512, 1024, 2048)
    depths: tuple[Depth, ...] = (3, 4, 6, 3)
    layer_type: str = "bottleneck"
    hidden_act: str = "relu"
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = False
    id2label: dict[int, str] | None = Field(None, max_length=_MAX_CLASSES)
    num_labels: int | None = Field(None, ge=1, le=_MAX_CLASSES)

    @classmethod
    def of(cls, found: dict[str, Any], name: str) -> "ResNetConfig":
        """Read a config.json.

        Args:
            found: what it holds.
            name: of the network, for errors.

        Returns:
            The configuration.

        Raises:
            ModelError: it is of another architecture, or of a ResNet that torchvision does not
                have.
        """
        named = found.get("architectures")
        architecture = named[0] if isinstance(named, list) and named else None
        if architecture != ARCHITECTURE:
            raise ModelError(
                f"{name} is a {architecture or found.get('model_type') or 'network of no name'}, "
                f"and of Hugging Face's networks {ARCHITECTURE} alone is known here; host another "
                f"as a `factory` of the settings file, a function that returns its "
                f"`from_pretrained`"
            )
        try:
            config = cls.model_validate({**found, "architecture": architecture})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ModelError(f"config.json of {name}: {where}: {first['msg']}") from error
        config._check(name)
        return config

    def _check(self, name: str) -> None:
        """Refuse what torchvision's ResNet is not."""
        expansion = _EXPANSION.get(self.layer_type)
        if expansion is None:
            raise ModelError(
                f"config.json of {name}: layer_type {self.layer_type!r} is neither "
                f"{' nor '.join(_EXPANSION)}"
            )
        wanted: dict[str, object] = {
            "num_channels": 3,
            "embedding_size": 64,
            "hidden_sizes": tuple(64 * 2**stage * expansion for stage in range(_STAGES)),
            "hidden_act": "relu",
            "downsample_in_first_stage": False,
            "downsample_in_bottleneck": False,
        }
        for field, value in wanted.items():
            if getattr(self, field) != value:
                raise ModelError(
                    f"config.json of {name}: {field} is {getattr(self, field)}, and only ResNets "
                    f"with {value} are known here; host it as a `factory` of the settings file"
                )
        if len(self.depths) != _STAGES:
            raise ModelError(f"config.json of {name}: depths must be {_STAGES}, not {self.depths}")
        if self.id2label and sorted(self.id2label) != list(range(len(self.id2label))):
            raise ModelError(
                f"config.json of {name}: the keys of id2label must be 0 to "
                f"{len(self.id2label) - 1}, one for each class"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the logits; none where there are none."""
        names = self.id2label or {}
        return tuple(names[i] for i in range(len(names)))

    @property
    def number_of_classes(self) -> int | None:
        """As many as there are names, else the number that is given; None for neither."""
        return len(self.classes) or self.num_labels


def resnet(config: ResNetConfig, classes: int) -> nn.Module:
    """Build torchvision's network of a configuration.

    Args:
        config: that was read.
        classes: number of logits.

    Returns:
        The network, its weights not loaded.
    """
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet  # takes a second to import

    blocks: dict[str, type[BasicBlock | Bottleneck]] = {
        "basic": BasicBlock,
        "bottleneck": Bottleneck,
    }
    module: nn.Module = ResNet(blocks[config.layer_type], list(config.depths), classes)
    return module


class _Arguments(BaseModel):
    """What a recipe gives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer_type: Literal["basic", "bottleneck"]
    depths: tuple[Depth, Depth, Depth, Depth]
    classes: int = Field(ge=1, le=_MAX_CLASSES)


def recipe(config: ResNetConfig) -> Recipe:
    """Tell how the network of a configuration is built.

    Args:
        config: that was read.

    Returns:
        The recipe, without the number of classes.
    """
    arguments: dict[str, Argument] = {
        "layer_type": config.layer_type,
        "depths": list(config.depths),
    }
    return Recipe(ARCHITECTURE, arguments)


def build(recipe: Recipe) -> nn.Module:
    """Build the network of a recipe.

    Args:
        recipe: with `layer_type`, `depths` and `classes`.

    Returns:
        The network, its weights not loaded.

    Raises:
        ValidationError: an argument is wrong.
    """
    given = _Arguments.model_validate(dict(recipe.arguments))
    config = ResNetConfig(layer_type=given.layer_type, depths=given.depths)
    return resnet(config, given.classes)


def torchvision_name(name: str) -> str:
    """Translate the name of a tensor.

    Args:
        name: in Hugging Face's ResNet.

    Returns:
        Its name in torchvision's; one that is not known as it is.
    """
    for pattern, put in _RULES:
        name = pattern.sub(put, name)
    return name
