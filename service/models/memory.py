"""How much memory the weights of networks take, and whether there is room for another one."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from service.auth.identity import visible_models
from service.models.blueprint import Blueprint
from service.models.builders import build
from service.models.checkpoints import ModelError

_BY_SIZE = {torch.empty, torch.zeros, torch.ones, torch.full}
_LISTED = 5  # models that are named as what could be unloaded


class NoRoom(ModelError):
    """The budget for loaded models does not hold another one of this size."""

    def __init__(self, name: str, size: int, held: Mapping[str, int], budget: int) -> None:
        told = ((other, held[other]) for other in visible_models(held) if held[other])
        largest = sorted(told, key=lambda one: -one[1])
        named = ", ".join(f"{other} ({taken} bytes)" for other, taken in largest[:_LISTED])
        super().__init__(
            f"{name} has {size} bytes of weights, and the models that are loaded have "
            f"{sum(held.values())} of the {budget} that all may have (model_bytes)"
            + (f": unload one of {named}" if size <= budget and named else "")
        )


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Sum the bytes of tensors.

    Args:
        tensors: of any device, also of none ("meta").
    """
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def bytes_of_module(module: nn.Module) -> int:
    """Sum the bytes of a module's parameters and buffers, each counted once.

    Args:
        module: of any device.
    """
    return bytes_of([*module.parameters(), *module.buffers()])


class Unallocated(TorchFunctionMode):
    """While active, what is made by its size alone has a shape and no values.

    Unlike torch's meta device it leaves numbers that a constructor computes with, as regnet's do.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        return func(*args, **({**kwargs, "device": "meta"} if func in _BY_SIZE else kwargs))


def planned_bytes(plan: Blueprint) -> int | None:
    """Find how much a network's weights will take, without taking it.

    Args:
        plan: by which it is to be built.

    Returns:
        Bytes of its parameters and buffers; None where only building it tells, as a factory does.
    """
    if plan.recipe is None:
        return None
    try:
        with Unallocated():
            return bytes_of_module(build(plan.recipe))
    except Exception:  # noqa: BLE001 - not every constructor can do without values
        return None


def default_budget(device: torch.device) -> int:
    """Choose how much the weights of all loaded models may take.

    Args:
        device: where they are.

    Returns:
        Half of its memory in bytes, or of the machine's for a CPU.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] // 2
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
