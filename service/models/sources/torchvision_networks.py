"""torchvision's classification networks, their published weights and what it says of them."""

from functools import partial

import torchvision
from torch import nn
from torchvision.models import WeightsEnum

from service.imaging import Preprocessing
from service.models.architectures import Architecture, Published
from service.models.checkpoints import fetch

_ONE_SIZE = ("vit_", "maxvit_")  # built for images of one size, that of the default weights


def names() -> list[str]:
    """The names of all its classification networks."""
    listed: list[str] = torchvision.models.list_models(module=torchvision.models)
    return listed


def architecture(name: str) -> Architecture | None:
    """Find one of its networks.

    Args:
        name: as torchvision has it.

    Returns:
        The architecture; None if there is none of that name.
    """
    if name not in names():
        return None
    weights = torchvision.models.get_model_weights(name)
    size = weights.DEFAULT.transforms().crop_size
    # One member of vgg16 names no classes: it is no classifier, and its file lacks the last layers.
    others = {
        member: partial(_published, weights[member])
        for member in weights.__members__
        if weights[member].meta["categories"]
        and (not name.startswith(_ONE_SIZE) or weights[member].transforms().crop_size == size)
    }
    return Architecture(name, partial(_build, name), _published(weights.DEFAULT), others)


def _build(name: str, classes: int | None) -> nn.Module:
    """Without the heads that only training uses, and with the input transform that the published
    weights imply.
    """
    options: dict[str, object] = {} if classes is None else {"num_classes": classes}
    if name.startswith("vit_"):
        weights = torchvision.models.get_model_weights(name)
        options["image_size"] = weights.DEFAULT.transforms().crop_size[0]
    if name in ("googlenet", "inception_v3"):
        options |= {"transform_input": True, "init_weights": False}
        options["aux_logits"] = name == "inception_v3"  # it cannot be built without
    module: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    if name == "inception_v3":
        module.aux_logits, module.AuxLogits = False, None  # type: ignore[assignment]
    return module


def _published(member: WeightsEnum) -> Published:
    """What torchvision says of the weights that it publishes."""
    seen = member.transforms()
    crop, resize = seen.crop_size, seen.resize_size
    preprocessing = Preprocessing(
        3, crop[0], crop[-1], resize[0], seen.interpolation.value, tuple(seen.mean), tuple(seen.std)
    )
    return Published(
        member.name,
        preprocessing,
        tuple(member.meta["categories"]),
        lambda folder: fetch(member.url, folder),
        member.meta.get("license", ""),
        f"torchvision, {member}, {member.meta['recipe']}",
    )
