"""Which of the architectures that are known by name a checkpoint belongs to."""

import warnings
from collections.abc import Iterator, Mapping
from functools import cache

from torch import Tensor

from service.models.architectures import architecture, names
from service.models.checkpoint_families import looks_like
from service.models.checkpoints import ModelError
from service.models.memory import Unallocated
from service.models.small_image_networks import wide_names
from service.models.state_dicts import (
    StateDict,
    StateDictError,
    difference,
    fitting,
    number_of_classes,
)


def recognize(found: list[StateDict], file: str) -> str:
    """Find the architecture whose tensors a checkpoint holds, their number of classes aside.

    Args:
        found: the checkpoint's tables of tensors.
        file: its name, for errors.

    Returns:
        The architecture's name.

    Raises:
        ModelError: it fits none, or several.
    """
    fits = [name for name, own in _all(found) if _fits(found, own)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise ModelError(
            f"{file} fits {' and '.join(fits)} alike; say which with --architecture, which also "
            f"tells size, mean and std"
        )
    kind = next((k for table in found if (k := looks_like(table.tensors))), None)
    likeness = f"; it looks like a checkpoint of {kind}" if kind else ""
    fact = f"{file} fits none of the architectures that are known by name{likeness}"
    nearest = _nearest(found)
    if nearest is None:
        raise ModelError(
            f"{fact}: name one with --architecture, such as timm:NAME, or write the network with "
            f"torch.onnx.export and import that file"
        )
    name, why = nearest
    raise ModelError(
        f"{fact}. {name} comes nearest, but the file {why}. Another one is named with "
        f"--architecture, such as timm:NAME; any network can be written with torch.onnx.export "
        f"and imported as that file"
    )


def _nearest(found: list[StateDict]) -> tuple[str, str] | None:
    """The architecture that lacks the fewest tensors and has the fewest too much, and why it does
    not fit; None where more than half of its own are missing.
    """
    apart = {}
    for name, tensors in _all(found):
        missing, unexpected = difference(found, tensors)
        if 2 * len(missing) <= len(tensors):
            apart[name] = len(missing) + len(unexpected), tensors
    if not apart:
        return None
    name = min(apart, key=lambda name: apart[name][0])
    own = apart[name][1]
    try:
        fit = fitting(found, own).tensors
    except StateDictError as error:
        return name, str(error)
    other = [k for k, tensor in fit.items() if tensor.shape != own[k].shape]
    first = other[0]
    return name, (
        f"has other shapes in {len(other)} of {len(own)} tensors, such as {first}, "
        f"{tuple(fit[first].shape)} where {tuple(own[first].shape)} is wanted"
    )


def _all(found: list[StateDict]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """The known architectures and their tensors."""
    wide = {n for table in found for n in wide_names(table.tensors)}
    for name in dict.fromkeys((*names(), *wide)):
        own = _tensors(name)
        if own is not None:
            yield name, own


@cache  # building all of them takes seconds, and a command may import many files
def _tensors(name: str) -> Mapping[str, Tensor] | None:
    """The tensors of an architecture, without values; None for a wide network of a depth that there
    is none of.
    """
    known = architecture(name)
    if known is None:
        return None
    with warnings.catch_warnings(), Unallocated():
        warnings.simplefilter("ignore")  # torchvision's, of how it will draw weights one day
        return known.build(None).state_dict()


def _fits(found: list[StateDict], own: Mapping[str, Tensor]) -> bool:
    try:
        tensors = fitting(found, own).tensors
    except StateDictError:
        return False
    other = [name for name, tensor in tensors.items() if tensor.shape != own[name].shape]
    return not other or number_of_classes(tensors, own) is not None
