"""From a name, and the weights asked for, to the plan by which a model is made. Nothing but these
names and those of the sources can be loaded.
"""

import copy
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from service.auth.identity import visible_models
from service.config import HOSTED_NAME, ModelTable
from service.datasets.classes import read_names
from service.imaging import Preprocessing
from service.models import checkpoints
from service.models.architectures import (
    Architecture,
    Published,
    architecture,
    download_folder,
    names,
)
from service.models.blueprint import RANDOM, Blueprint, UnknownModel, UnknownWeights
from service.models.bundles.archive import SUFFIX
from service.models.checkpoints import ModelError
from service.models.initialization import Uninitialized
from service.models.recipe import Recipe
from service.models.sources import registry as sources
from service.models.sources.source import Wanted
from service.models.trial.factory import FactoryTrials, refusal


class Catalogue:
    """Every name that can be loaded: the settings' tables first, then the bundles of the weights
    folder, the embedded networks and the known architectures, then those under which the networks
    of sources are hosted.

    Args:
        weights_dir: holds bundles, `<name>.striate`; `<name>.safetensors` or `<name>.pth`, which go
            before published weights; and the downloads.
        tables: the settings' own models by name.
        modules: networks in memory that stand in the place of their tables' factories.
        trials: of factories, before they are called here; None for none.
    """

    def __init__(
        self,
        weights_dir: Path | None,
        tables: Mapping[str, ModelTable],
        modules: Mapping[str, nn.Module] | None = None,
        trials: FactoryTrials | None = None,
    ) -> None:
        self._weights_dir, self._tables = weights_dir, dict(tables)
        self._modules, self._trials = dict(modules or {}), trials or FactoryTrials(0)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what can be loaded, but for the networks of sources, in order."""
        return tuple(sorted({*self._tables, *names(), *self._bundles()}))

    def _bundles(self) -> Mapping[str, Path]:
        """The bundles of the weights folder by name."""
        files = self._weights_dir.glob(f"*{SUFFIX}") if self._weights_dir else ()
        return {file.stem: file for file in files if HOSTED_NAME.fullmatch(file.stem)}

    def blueprint(self, name: str, weights: str = "", labels: tuple[str, ...] = ()) -> Blueprint:
        """Plan a model with the weights asked for.

        Args:
            name: of the model, one that `knows` is true for.
            weights: "" for the default ones, "random", or a name of torchvision's.
            labels: class names in the order of the logits, which go before all others; () for those
                that are known.

        Returns:
            The plan.

        Raises:
            UnknownModel: the name is not known.
            UnknownWeights: the model has none of that name.
            ModelError: the settings' table does not make sense.
        """
        if name in self._tables:
            table = self._tables[name]
            return self._own(
                name, table.model_copy(update={"labels": labels or table.labels}), weights
            )
        plan = self._named(name, weights, len(labels))
        return replace(plan, classes=labels, labelled=True) if labels else plan

    def _named(self, name: str, weights: str, classes: int) -> Blueprint:
        """A model that no table tells of; `classes` is the number of labels, 0 for none."""
        bundle = self._bundles().get(name)
        wanted = partial(self._wanted, name, weights, classes=classes)
        if bundle is not None and (weights == "" or architecture(name) is None):
            return sources.of_table(name, f"bundle:{bundle}", wanted())
        if architecture(name) is not None:
            return self._known(name, weights, classes)
        if not sources.is_hosted_name(name):
            raise sources.unknown(name, visible_models(self.names))
        return sources.by_hosted_name(name, wanted())

    def knows(self, name: str) -> bool:
        """Tell whether a name can be planned.

        Args:
            name: of a model.

        Returns:
            Whether it is in `names`, or one under which a source's network is hosted.
        """
        return name in self.names or architecture(name) is not None or sources.is_hosted_name(name)

    def _wanted(
        self, name: str, weights: str, table: ModelTable | None = None, classes: int = 0
    ) -> Wanted:
        """What a source is asked for, which has no weights by name."""
        if weights not in ("", RANDOM):
            raise UnknownWeights(name, weights, ())
        if table is None:
            return Wanted(weights, None, self._weights_dir, classes=classes or None)
        file = table.weights if weights == "" else None
        return Wanted(weights, file, self._weights_dir, table.size, table.channels, classes or None)

    def _known(self, name: str, weights: str, labels: int) -> Blueprint:
        known = _architecture(name)
        published = _chosen(known, weights)
        file = (
            checkpoints.find(self._weights_dir, name)
            if weights == "" and published.name != "embedded"
            else None
        )
        return self._plan(known, published, file, weights, _other_number(published, labels))

    def _plan(
        self,
        known: Architecture,
        published: Published,
        file: Path | None,
        weights: str,
        classes: int | None = None,
    ) -> Blueprint:
        """A known architecture with its file of weights, else its published ones; `classes` if it
        has not its own number of them.
        """
        build: Callable[[], nn.Module] = partial(_undrawn, known, classes)
        said = Published("", published.preprocessing, ())  # of a file of the user's: nothing
        if weights == RANDOM:
            source = RANDOM
        elif file is not None:
            source, build = file.name, partial(_with_own_classes, known, classes, file)
        elif published.file is not None:
            _check_published(known.name, published, classes)
            source, build = (
                published.name,
                partial(
                    _loaded, build, partial(published.file, download_folder(self._weights_dir))
                ),
            )
            said = published
        else:
            raise ModelError(
                f"{known.name} has no published weights: put {known.name}.safetensors into "
                f"the weights folder, or load it as random"
            )
        return Blueprint(
            known.name,
            build,
            published.preprocessing,
            published.classes,
            source,
            recipe=Recipe(known.name),
            license=said.license,
            source=said.source,
        )

    def _own(self, name: str, table: ModelTable, weights: str) -> Blueprint:
        """A model of the settings' own."""
        labels = _labels(name, table)
        if table.architecture is not None:
            known = _architecture(table.architecture)
            published = _chosen(known, weights)
            file = table.weights if weights == "" else None
            other = _other_number(published, len(labels))
            plan = self._plan(known, published, file, weights, other)
        elif table.source is not None:
            plan = sources.of_table(
                name, table.source, self._wanted(name, weights, table, len(labels))
            )
        else:
            if weights not in ("", RANDOM):
                raise UnknownWeights(name, weights, ())
            plan = _made(name, table, weights, self._trials)
        if name in self._modules:
            kept = self._modules[name]
            plan = replace(
                plan,
                architecture=type(kept).__qualname__,
                build=lambda: copy.deepcopy(kept),
                weights=weights or "memory",
                recipe=None,
                own_code=False,
            )
        return replace(
            plan,
            preprocessing=_preprocessing(name, table, plan.preprocessing),
            classes=labels or plan.classes,
            labelled=bool(labels) or plan.labelled,
            license=table.license or plan.license,
            source=table.origin or plan.source,
        )


def _architecture(name: str) -> Architecture:
    known = architecture(name)
    if known is None:
        raise UnknownModel(name, names(), f"there is no architecture {name!r}")
    return known


def _chosen(known: Architecture, weights: str) -> Published:
    if weights in ("", RANDOM):
        return known.published
    if weights not in known.others:
        raise UnknownWeights(known.name, weights, known.others)
    return known.others[weights]()


def _other_number(published: Published, labels: int) -> int | None:
    """The number of labels, where it is given and not that of the published classes."""
    return labels if labels and labels != len(published.classes) else None


def _check_published(name: str, published: Published, labels: int | None) -> None:
    """Refuse labels that published weights have not, before these are downloaded. Where their
    classes are not known, loading tells.

    Raises:
        ModelError: there is another number of them.
    """
    if labels is not None and published.classes:
        raise ModelError(
            f"{name} has {len(published.classes)} classes with the weights {published.name}, but "
            f"{labels} labels are given"
        )


def _undrawn(known: Architecture, classes: int | None) -> nn.Module:
    with Uninitialized():
        return known.build(classes)


def _loaded(build: Callable[[], nn.Module], file: Callable[[], Path]) -> nn.Module:
    path = file()
    module = build()
    checkpoints.load(module, checkpoints.read(path), path.name)
    return module


def _with_own_classes(known: Architecture, classes: int | None, path: Path) -> nn.Module:
    """An architecture with a file's weights, and the file's number of classes.

    Raises:
        ModelError: the file does not fit, or has not as many classes as there are labels. One
            logit may have two (`interp.network.load_checks.one_logit`).
    """
    module, found = _undrawn(known, classes), checkpoints.read(path)
    other = checkpoints.classes_of(module, found, path.name)
    if other is not None and classes is not None and (other[0], classes) != (1, 2):
        raise ModelError(
            f"{path.name} has {other[0]} classes, as its tensor {other[1]} tells, but {classes} "
            f"labels are given"
        )
    if other is not None:
        module = _undrawn(known, other[0])
    checkpoints.load(module, found, path.name)
    return module


def _made(name: str, table: ModelTable, weights: str, trials: FactoryTrials) -> Blueprint:
    """What the factory of a settings table makes, which holds its weights already unless the table
    names a file.
    """
    assert table.factory is not None
    assert table.size is not None
    assert table.mean is not None
    assert table.std is not None
    height, width = table.size
    channels = table.channels or len(table.mean)
    build: Callable[[], nn.Module] = partial(
        _call_factory, name, table.factory, trials, (channels, height, width)
    )
    source = "factory"
    if weights == RANDOM:
        source = RANDOM
    elif table.weights is not None:
        path = table.weights
        source, build = path.name, partial(_loaded, build, lambda: path)
    seen = Preprocessing(
        channels, height, width, max(height, width), "bilinear", table.mean, table.std
    )
    return Blueprint(table.factory, build, seen, (), source, own_code=True)


def _call_factory(
    name: str, factory: str, trials: FactoryTrials, shape: tuple[int, int, int]
) -> nn.Module:
    trials.passed(name, factory, shape)
    module_name, _, function = factory.partition(":")
    try:
        module = getattr(importlib.import_module(module_name), function)()
    except Exception as error:  # it is the user's own code
        raise refusal(name, factory, "failed", f"{type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"models.{name}.factory {factory!r} returned {type(module).__name__}, not a "
            f"torch module"
        )
    return module


def _preprocessing(name: str, table: ModelTable, base: Preprocessing) -> Preprocessing:
    """The base, with what the table says put in its place."""
    channels = table.channels or base.channels
    given: dict[str, Any] = {
        "mean": table.mean,
        "std": table.std,
        "interpolation": table.interpolation,
        "channels": table.channels,
    }
    if table.size is not None:
        given |= {"height": table.size[0], "width": table.size[1], "resize": max(table.size)}
    if table.resize is not None:
        given["resize"] = table.resize
    seen = replace(base, **{k: v for k, v in given.items() if v is not None})
    for field in ("mean", "std"):
        if len(getattr(seen, field)) != channels:
            raise ModelError(
                f"models.{name}.{field} has {len(getattr(seen, field))} values for "
                f"{channels} channels"
            )
    _check_units(name, seen.mean, seen.std)
    return seen


def _check_units(name: str, mean: Iterable[float], std: Iterable[float]) -> None:
    """Refuse a mean and std that cannot be those of pixels in [0, 1].

    Raises:
        ModelError: a mean lies outside [0, 1], or a std is more than 1.
    """
    mean, std = tuple(mean), tuple(std)
    if all(0 <= m <= 1 for m in mean) and all(s <= 1 for s in std):
        return
    found = f"models.{name} has mean {list(mean)} and std {list(std)}, but pixels lie in [0, 1]"
    if max(*mean, *std) > 1:
        reason = "these look like 0..255 units; divide by 255, also a std of 1 beside them"
    else:
        reason = "each mean must be from 0 to 1, and each std above 0 and at most 1"
    raise ModelError(f"{found}: {reason}")


def _labels(name: str, table: ModelTable) -> tuple[str, ...]:
    if not isinstance(table.labels, Path):
        return tuple(table.labels or ())
    try:
        return read_names(table.labels)
    except (OSError, ValueError) as error:
        raise ModelError(f"models.{name}.labels: {table.labels} cannot be read: {error}") from error
