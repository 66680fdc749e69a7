"""A module without what training put around it."""

from torch import nn
from torch.nn.parallel import DistributedDataParallel

_PARALLEL = (nn.DataParallel, DistributedDataParallel)


def unwrapped(module: nn.Module) -> nn.Module:
    """Take off torch.compile and the wrappers of several devices, inside the module too.

    What compiles would compile anew for every hook and every number of images, for minutes.

    Args:
        module: that is changed, but for the wrappers around the whole.

    Returns:
        The module inside, which computes the same.
    """
    module = _inside(module)
    for part in list(module.modules()):
        part._compiled_call_impl = None  # of `module.compile()`
        for name, child in part.named_children():
            if _inside(child) is not child:
                setattr(part, name, _inside(child))
    return module


def _inside(module: nn.Module) -> nn.Module:
    while True:
        # Its class is not imported: that takes seconds, where nobody has compiled anything.
        if type(module).__name__ == "OptimizedModule" and hasattr(module, "_orig_mod"):
            module = module._orig_mod  # type: ignore[assignment]
        elif isinstance(module, _PARALLEL):
            module = module.module
        else:
            return module
