"""Networks of timm, PyTorch image models (Wightman 2019), by the names of its registry: size, mean,
std, crop, class names and weights are what it tells of them. timm is imported when the first of
them is asked for.
"""

import importlib
import re
from functools import partial

from torch import nn

from service.models.blueprint import RANDOM, Blueprint
from service.models.checkpoints import ModelError
from service.models.sources import timm_weights
from service.models.sources.source import NetworkSource, Wanted
from service.models.sources.timm_architecture import find, recipe, undrawn
from service.models.sources.timm_config import TimmConfig, labels, preprocessing

_NAME = re.compile(r"[A-Za-z0-9_]{1,100}(\.[A-Za-z0-9_]{1,100})?")
_SHOWN = 8  # tags that an error names


def plan(place: str, wanted: Wanted) -> Blueprint:
    """Plan a network of timm's; the weights are looked for only when it is made.

    Args:
        place: "ARCHITECTURE.TAG", or "ARCHITECTURE" for its default tag.
        wanted: the weights; `wanted.folder` may hold "timm.ARCHITECTURE.TAG.safetensors" or .pth,
            which goes before the published ones.

    Returns:
        The plan.

    Raises:
        UnknownModel: timm has no such architecture or tag.
        ModelError: timm is not installed, the network has no weights, or no logits of classes.
    """
    if _hosted(place) is None:
        raise ModelError(f"timm:{place[:100]} is no name of a network; {SOURCE.meant}")
    config = find(place)
    seen, doubts = preprocessing(config.cfg)
    known = labels(config.cfg)
    file = wanted.file or timm_weights.file_of(config, wanted.folder)
    said = ("", "")  # of the user's own weights nothing is known
    make = partial(_make, config, wanted)
    if wanted.weights == RANDOM:
        _check_classes(config, wanted.classes)
        source, build = RANDOM, partial(make, wanted.classes)
    elif file is not None:
        source, build = file.name, partial(timm_weights.load, config, make, file)
    else:
        _check_classes(config, None)
        source, build = _published(config), partial(_downloaded, config, wanted, make)
        said = config.cfg.license or "", _publisher(config)
        doubts += _of_outputs(config.cfg.num_classes, known)
    how = recipe(config, wanted)
    return Blueprint(
        how.architecture,
        build,
        seen,
        known,
        source,
        doubts=doubts,
        recipe=how,
        license=said[0],
        source=said[1],
    )


def _hosted(place: str) -> str | None:
    return place if _NAME.fullmatch(place) else None


def _check_classes(config: TimmConfig, classes: int | None) -> None:
    """Refuse a network that gives features.

    Raises:
        ModelError: it does, and nothing tells a number of classes.
    """
    if config.cfg.num_classes > 0 or classes:
        return
    models = importlib.import_module("timm.models")
    others = [
        f"timm:{name}"
        for name, cfg in models.get_arch_pretrained_cfgs(config.architecture).items()
        if cfg.num_classes > 0 and cfg.has_weights
    ]
    way = f"load {', '.join(others[:_SHOWN])}, or " if others else ""
    raise ModelError(
        f"timm:{config.name} gives features and no logits of classes; {way}put weights that were "
        f"trained on with a classifier ({', '.join(config.classifiers) or 'none is known'}) into "
        f"the weights folder as timm.{config.name}.safetensors"
    )


def _of_outputs(classes: int, known: tuple[str, ...]) -> tuple[str, ...]:
    """A doubt where nothing tells what the outputs are."""
    if known:
        return ()
    return (
        f"timm does not tell what its {classes} outputs are called: they may be the axes of an "
        f"embedding rather than classes; give `labels` in a settings table to name them",
    )


def _published(config: TimmConfig) -> str:
    """Where the published weights come from.

    Raises:
        ModelError: there are none.
    """
    origin = timm_weights.origin(config)
    if origin is not None:
        return origin
    models = importlib.import_module("timm.models")
    others = [f"timm:{n}" for n in models.list_pretrained(f"{config.architecture}.*")]
    way = f"load {', '.join(others[:_SHOWN])}, or " if others else ""
    raise ModelError(
        f"timm publishes no weights for {config.name}: {way}put "
        f"timm.{config.name}.safetensors into the weights folder, or load it as random"
    )


def _publisher(config: TimmConfig) -> str:
    """Where the published weights are, and where they first came from."""
    repository = config.cfg.hf_hub_id
    places = [f"https://huggingface.co/{repository}" if repository else "", config.cfg.origin_url]
    return ", ".join(place for place in places if place)


def _make(config: TimmConfig, wanted: Wanted, classes: int | None) -> nn.Module:
    return undrawn(config, classes, wanted.size, wanted.channels)


def _downloaded(config: TimmConfig, wanted: Wanted, make: timm_weights.Make) -> nn.Module:
    path = timm_weights.download(config, wanted.folder)
    return timm_weights.load(config, make, path)


SOURCE = NetworkSource(
    "timm:NAME names a network of timm's, such as timm:resnet18.a1_in1k",
    _hosted,
    _hosted,
    plan,
)
