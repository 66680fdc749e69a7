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
from service.models.state_dicts import StateDict, StateDictError, fitting, number_of_classes


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
    raise ModelError(
        f"{file} fits none of the architectures that are known by name{likeness}: name the one "
        f"that comes nearest with --architecture, which then tells what does not fit; or write the "
        f"network with torch.onnx.export and import that file"
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
