"""Forward hooks on modules: set for a while, and found where somebody else has set them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


def has_hooks(modules: Iterable[nn.Module]) -> bool:
    """Whether any of the modules has forward or backward hooks of its own."""
    return any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
        for m in modules
    )


@contextmanager
def forward_hooks(
    modules: dict[str, nn.Module], hook: Callable[[str, Any], None]
) -> Iterator[None]:
    """Call `hook` after every call of some modules, while the context lasts.

    Args:
        modules: by name.
        hook: is given the name and the output of the module that has run.
    """
    handles = [
        part.register_forward_hook(lambda _, __, output, name=name: hook(name, output))
        for name, part in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
