"""Bundles as a source: a file of the server's, by its path."""

from functools import partial
from pathlib import Path

from torch import nn

from service.models import builders, checkpoints
from service.models.blueprint import RANDOM, Blueprint
from service.models.bundles import archive
from service.models.bundles.archive import Bundle
from service.models.checkpoints import ModelError
from service.models.digest import digest_of
from service.models.recipe import Recipe
from service.models.sources.source import NetworkSource, Wanted
from service.models.state_dicts import StateDict


def plan(place: str, wanted: Wanted) -> Blueprint:
    """Plan the network of a bundle.

    Args:
        place: path of the file.
        wanted: the weights; a file goes before those of the bundle.

    Returns:
        The plan.

    Raises:
        ModelError: the file is no bundle, or damaged.
    """
    bundle = archive.read(Path(place))
    known = bundle.description
    recipe = known.recipe(bundle.graph)
    if wanted.weights == RANDOM:
        weights, build = RANDOM, partial(builders.build, recipe)
    elif wanted.file is not None:
        weights, build = wanted.file.name, partial(_with_file, recipe, wanted.file)
    else:
        weights, build = bundle.path.name, partial(_whole, bundle)
    return Blueprint(
        known.architecture,
        build,
        known.preprocessing,
        known.labels,
        weights,
        labelled=bool(known.labels),
        recipe=recipe,
        license=known.license,
        source=known.source,
    )


def _with_file(recipe: Recipe, file: Path) -> nn.Module:
    module = builders.build(recipe)
    checkpoints.load(module, checkpoints.read(file), file.name)
    return module


def _whole(bundle: Bundle) -> nn.Module:
    """The network as it was bundled.

    Raises:
        ModelError: it is not what its digest promises.
    """
    known, tensors, name = bundle.description, bundle.tensors(), bundle.path.name
    classes = known.arguments.get("classes")
    if isinstance(classes, int) and not any(classes in t.shape[:2] for t in tensors.values()):
        # Before it is built: whoever wrote the file must not choose how much memory that takes.
        raise ModelError(f"{name} promises {classes} classes, but none of its tensors has as many")
    module = builders.build(known.recipe(bundle.graph))
    if not bundle.graph:  # which has its weights itself
        checkpoints.load(module, [StateDict("", tensors)], name)
    state = module.state_dict()
    # Which of the two it is depends on the labels and on what the network gives.
    if not any(
        digest_of(known.architecture, known.preprocessing, state, two_logits, bundle.graph)
        == known.digest
        for two_logits in (False, True)
    ):
        raise ModelError(
            f"{name} is not what it was when it was made: its weights or its preprocessing do not "
            f"have the digest {known.digest[:12]}... that it tells; fetch or export it again"
        )
    return module


SOURCE = NetworkSource(
    "bundle:/FILE names a bundle on disk, in a settings table alone",
    lambda place: None,
    lambda hosted: None,
    plan,
)
