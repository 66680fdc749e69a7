"""Which tensor of a network's output holds its logits: networks return tuples, lists, tables and
objects of many kinds.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

_NAMES = ("logits", "out")  # of the classification heads of transformers, torchvision and timm
_SHOWN = 6  # entries of an output that a refusal names
_CLASSES: dict[tuple[type[nn.Module], "LogitsPath"], type[nn.Module]] = {}


class NoLogits(ValueError):
    """What a network returns holds no logits, or nothing tells which tensor they are."""


@dataclass(frozen=True)
class LogitsPath:
    """Where the logits stand in a network's output.

    Attributes:
        keys: attribute names, preceded by a dot, or indices and keys, applied one after another.
        flattens: the tensor there is (B, classes, 1, ...) and loses its axes of length 1.
        others: descriptions of other tensors that might have been meant, too.
    """

    keys: tuple[str | int, ...] = ()
    flattens: bool = False
    others: tuple[str, ...] = ()

    def of(self, output: Any) -> Tensor:
        """Return the logits (B, classes) of an output of the same kind."""
        for key in self.keys:
            is_attribute = isinstance(key, str) and key.startswith(".")
            output = getattr(output, str(key)[1:]) if is_attribute else output[key]
        logits: Tensor = output.flatten(1) if self.flattens else output
        return logits

    @property
    def doubt(self) -> str:
        """A sentence about what else might have been meant; "" if there is nothing."""
        if not self.others:
            return ""
        place = "".join(
            str(key) if isinstance(key, str) and key.startswith(".") else f"[{key!r}]"
            for key in self.keys
        )
        return (
            f"output{place} of the network is taken for the logits, but it also returns "
            f"{', '.join(self.others)}: return the logits alone, or name them 'logits', if that "
            f"is wrong"
        )


def find_logits(output: Any, images: int) -> LogitsPath:
    """Find the one tensor of logits in what a network returned.

    A tensor (B, classes), or with axes of length 1 behind it, is the logits itself. Of a table or
    an object it is `logits`, else `out`, else its only such tensor; of a tuple the first entry, if
    it is one, else the only one; of a list the only one.

    Args:
        output: what the network returned.
        images: B, the number of images that it was given.

    Raises:
        NoLogits: there is no such tensor, or several and nothing tells which is meant; it names
            what there is.
    """
    path = _find(output, images)
    if path is None:
        one = isinstance(output, Tensor) and tuple(output.shape) == (images,)
        two_labels = (
            ", or give two labels, which make two logits (0, z) of one output" if one else ""
        )
        raise NoLogits(
            f"the network does not give one row of logits (classes,) to an image: of {images} "
            f"{'image' if images == 1 else 'images'} it returns {described(output)}; return one "
            f"tensor ({images}, classes), or name it 'logits'{two_labels}"
        )
    return path


def _find(output: Any, images: int) -> LogitsPath | None:
    if isinstance(output, Tensor):
        fits = output.ndim >= 2 and len(output) == images and output[0].numel() > 0
        fits = fits and output.is_floating_point() and output[0].numel() == output.shape[1]
        return LogitsPath(flattens=output.ndim > 2) if fits else None
    entries = _entries(output)
    found = {key: path for key, value in entries.items() if (path := _find(value, images))}
    named = next((key for name in _NAMES for key in (name, f".{name}") if key in entries), None)
    if named is not None:
        key: str | int = named
    elif isinstance(output, tuple) and 0 in found:
        key = 0
    elif len(found) == 1:
        (key,) = found
    else:
        return None
    if key not in found:
        return None
    inner = found[key]
    others = tuple(f"{described(entries[k])} at [{k!r}]" for k in found if k != key)
    ambiguous = others if named is None else ()
    return LogitsPath((key, *inner.keys), inner.flattens, (*ambiguous, *inner.others))


def _entries(output: Any) -> dict[str | int, Any]:
    """The entries of a container by the keys that `LogitsPath` takes; none of anything else."""
    if isinstance(output, Mapping):
        return {key: value for key, value in output.items() if isinstance(key, str | int)}
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        named = {f".{name}": getattr(output, name) for name in output._fields if name in _NAMES}
        if named:
            return {name: value for name, value in named.items()}  # noqa: C416
    if isinstance(output, tuple | list):
        return {index: value for index, value in enumerate(output)}  # noqa: C416
    return {f".{name}": getattr(output, name) for name in _NAMES if hasattr(output, name)}


def described(output: Any) -> str:
    """Describe an output in words: its type, its keys, and the shapes of its tensors."""
    if isinstance(output, Tensor):
        kind = "" if output.is_floating_point() else f" {str(output.dtype).removeprefix('torch.')}"
        return f"a{kind} tensor {tuple(output.shape)}"
    name = type(output).__name__
    if isinstance(output, Mapping):
        items = [f"{key!r}: {described(value)}" for key, value in list(output.items())[:_SHOWN]]
    elif isinstance(output, Sequence) and not isinstance(output, str):
        items = [described(value) for value in output[:_SHOWN]]
    else:
        return name
    more = ", ..." if len(output) > _SHOWN else ""
    return f"{name} of {len(output)} ({', '.join(items)}{more})"


def returning_logits(module: nn.Module, path: LogitsPath) -> nn.Module:
    """A module that returns the logits alone.

    Args:
        module: is not changed.
        path: where the logits stand in what it returns.

    Returns:
        the module itself where it returns nothing else. Else a module of a class derived from its
        own, with the very same parts, parameters and buffers under the same names.
    """
    if not path.keys and not path.flattens:
        return module
    twin = copy.copy(module)
    twin.__class__ = _returning(type(module), path)
    return twin


def _returning(kind: type[nn.Module], path: LogitsPath) -> type[nn.Module]:
    if (kind, path) not in _CLASSES:

        def forward(self: nn.Module, x: Tensor) -> Tensor:
            return path.of(kind.forward(self, x))

        _CLASSES[kind, path] = type(kind.__name__, (kind,), {"forward": forward})
    return _CLASSES[kind, path]
