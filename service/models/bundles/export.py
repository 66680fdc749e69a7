"""From a hosted network to its bundle."""

from typing import IO

from service.models.bundles import archive
from service.models.bundles.description import FORMAT, BundleDescription
from service.models.checkpoints import ModelError
from service.models.hosted import HostedModel, unnamed


class NotExportable(ModelError):
    """A hosted network cannot be built by another server."""


def export(model: HostedModel, file: IO[bytes]) -> None:
    """Write the bundle of a hosted network.

    Args:
        model: that is hosted.
        file: to which the bundle is written.

    Raises:
        NotExportable: it is made by code of the user's own.
    """
    recipe, seen = model.recipe, model.preprocessing
    if recipe is None:
        raise NotExportable(
            f"{model.name} is built by code of its own ({model.architecture}), which a bundle does "
            f"not hold: export it to ONNX and make a bundle of that with `striate-server import`, "
            f"or take its code and its weights to the other server"
        )
    description = BundleDescription(
        format=FORMAT,
        architecture=model.architecture,
        channels=seen.channels,
        height=seen.height,
        width=seen.width,
        resize=seen.resize,
        interpolation=seen.interpolation,
        mean=seen.mean,
        std=seen.std,
        digest=model.digest,
        license=model.license,
        source=model.source,
        labels=() if model.classes == unnamed(len(model.classes)) else model.classes,
        arguments=dict(recipe.arguments),
    )
    tensors = {} if recipe.graph else model.network.module.state_dict()  # a graph has its weights
    archive.write(file, description, tensors, recipe.graph)
