"""A copy of a module that has the very same tensors."""

import copy

from torch import Tensor, nn


def shared_copy(module: nn.Module) -> nn.Module:
    """Copy a module, but neither its parameters and buffers nor other tensors that its parts hold:
    the copy has the very same ones, and takes hardly any memory.

    Args:
        module: is not changed. No pass may run on it meanwhile, whose hooks would be copied, too.

    Returns:
        the copy: hooks on it, and parts that are replaced in it, are not the module's.
    """
    tensors = [t for part in module.modules() for t in vars(part).values() if isinstance(t, Tensor)]
    tensors += [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(t): t for t in tensors})
