"""A network of timm's registry by its name, and as it is built without weights."""

import importlib
import warnings
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from service.models.blueprint import UnknownModel
from service.models.checkpoints import ModelError
from service.models.initialization import Uninitialized
from service.models.recipe import Argument, Recipe
from service.models.sources.source import Wanted
from service.models.sources.timm_config import TimmConfig
from service.process import packages

PREFIX = "timm:"

_MAX_CLASSES = 1_000_000
_SHOWN = 8  # tags that an error names

Extent = Annotated[int, Field(ge=1, le=4096)]  # pixels


class _TimmArguments(BaseModel):
    """The arguments of a recipe.

    Attributes:
        tag: of the published weights, which tells more than the architecture, such as the size
            that a network is built for; "" for none.
        classes: number of logits; None for the tag's own.
        size: height and width in pixels, of networks that are built for one size.
        channels: of the images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tag: str = Field("", max_length=100, pattern=r"^\w*$")
    classes: int | None = Field(None, ge=1, le=_MAX_CLASSES)
    size: Annotated[list[Extent], Field(min_length=2, max_length=2)] | None = None
    channels: int | None = Field(None, ge=1, le=3)


def find(place: str) -> TimmConfig:
    """Find what timm's registry tells of a name.

    Args:
        place: "ARCHITECTURE.TAG", or "ARCHITECTURE" for its default tag; names that timm calls
            deprecated are those that it maps them to.

    Returns:
        What it tells.

    Raises:
        UnknownModel: timm has no such architecture or tag.
        ModelError: timm is not installed.
    """
    models = _models(place)
    current = models.get_deprecated_models().get(place, place)
    if current is None:
        raise UnknownModel(f"{PREFIX}{place}", (), f"timm has removed {place!r}")
    architecture, tag = models.split_model_name_tag(current)
    if not models.is_model(architecture):
        names = {*models.list_models(), *models.list_models(include_tags=True)}
        raise UnknownModel(f"{PREFIX}{place}", (f"{PREFIX}{name}" for name in names))
    try:
        cfg = models.get_pretrained_cfg(current, allow_unregistered=False)
    except RuntimeError as error:
        tags = [t for t in models.list_models(f"{architecture}.*", include_tags=True) if "." in t]
        more = f" and {len(tags) - _SHOWN} more" if len(tags) > _SHOWN else ""
        known = f"{', '.join(PREFIX + t for t in tags[:_SHOWN])}{more}" if tags else "none"
        raise UnknownModel(
            f"{PREFIX}{place}", (), f"timm's {architecture} has no weights {tag!r}; it has {known}"
        ) from error
    return TimmConfig(place, architecture, tag or cfg.tag or "", cfg)


def _models(place: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # timm's, of its own deprecated imports
            return importlib.import_module("timm.models")
    except ImportError as error:
        raise ModelError(
            f"{PREFIX}{place} takes `{packages.extra('timm')}` in a checkout of Striate: {error}"
        ) from error


def recipe(config: TimmConfig, wanted: Wanted) -> Recipe:
    """Tell how a network is built, as `build` takes it.

    Args:
        config: of the network.
        wanted: the size and channels.

    Returns:
        The recipe, without the number of classes.
    """
    arguments: dict[str, Argument] = {"tag": config.tag} if config.tag else {}
    if wanted.size is not None and config.cfg.fixed_input_size:
        arguments["size"] = list(wanted.size)
    if wanted.channels not in (None, config.cfg.input_size[0]):
        arguments["channels"] = int(wanted.channels or 0)
    return Recipe(f"{PREFIX}{config.architecture}", arguments)


def build(recipe: Recipe) -> nn.Module:
    """Build the network of a recipe, which a stranger may have written.

    Args:
        recipe: with `tag`, `classes`, `size` and `channels`, each of which may be missing.

    Returns:
        The network; its weights are zeros.

    Raises:
        pydantic.ValidationError: an argument is wrong.
        ModelError: timm is not installed, has no such network, or cannot make it.
    """
    given = _TimmArguments.model_validate(dict(recipe.arguments))
    architecture = recipe.architecture.removeprefix(PREFIX)
    name = f"{architecture}.{given.tag}" if given.tag else architecture
    try:
        config = find(name)
    except UnknownModel as error:
        raise ModelError(f"{error}: this server's timm may be older than the network") from error
    return undrawn(config, given.classes, given.size, given.channels)


def undrawn(
    config: TimmConfig,
    classes: int | None,
    size: list[int] | tuple[int, int] | None,
    channels: int | None,
) -> nn.Module:
    """Build a network without weights.

    Args:
        config: of the network.
        classes: number of logits; None for its own.
        size: height and width in pixels, of networks that are built for one; None for its own.
        channels: of the images; None for its own.

    Returns:
        The network; its weights are zeros.

    Raises:
        ModelError: timm cannot make it so.
    """
    models = importlib.import_module("timm.models")
    options: dict[str, Any] = {"pretrained_cfg": config.tag or None, "num_classes": classes}
    if size is not None and config.cfg.fixed_input_size:
        options["img_size"] = tuple(size)
    if channels not in (None, config.cfg.input_size[0]):
        options["in_chans"] = channels
    try:
        with Uninitialized(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # timm's, of its own affairs
            module: nn.Module = models.create_model(config.architecture, **options)
    except Exception as error:  # timm's constructors raise anything for what they cannot be given
        raise ModelError(
            f"{PREFIX}{config.name} cannot be made: {type(error).__name__}: {error}"
        ) from error
    return module
