"""What a forward pass tells of each module: the windows that it slides, its multiply-adds, and its
receptive field.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field as default
from functools import partial
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from interp.network.field_arithmetic import Field
from interp.network.receptive_field import FieldTracer
from interp.network.torch_calls import Window, window_of


@dataclass
class ModuleRecord:
    """What a forward pass tells of one module.

    Attributes:
        windows: those that it slides itself, not its parts.
        multiply_adds: of convolutions and linear layers, its parts' among them.
        has_field: whether its output has rows and columns, and depends on the image.
        field: the receptive field of its output; None if it is the whole image.
    """

    windows: set[Window] = default(default_factory=set)
    multiply_adds: int = 0
    has_field: bool = False
    field: Field | None = None


class OperationCounter(TorchFunctionMode):
    """While active, books windows on the innermost of the running modules, and multiply-adds on all
    of them.
    """

    def __init__(self, records: dict[str, ModuleRecord], running: list[str]) -> None:
        """Take where to book.

        Args:
            records: by the modules' names; they are added to.
            running: names of the modules that run, the innermost last; see `record_modules`.
        """
        super().__init__()
        self.records, self.running = records, running

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, and book what it does; see `TorchFunctionMode`."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.running:
            window = window_of(func, args, kwargs)
            if window:
                self.records[self.running[-1]].windows.add(window)
            cost = _multiply_adds(getattr(func, "__name__", ""), args, kwargs, result)
            for name in self.running if cost else ():
                self.records[name].multiply_adds += cost
        return result


def _multiply_adds(
    function: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> int:
    """Of one call of a function of torch; 0 for those that are not linear."""
    if function not in ("conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear"):
        return 0
    x = args[0] if args else kwargs["input"]
    weight = args[1] if len(args) > 1 else kwargs["weight"]
    # each of its elements meets one row of the weights
    spread = x if function == "conv_transpose2d" else result
    return int(spread.numel() * prod(weight.shape[1:]))


@contextmanager
def record_modules(
    modules: dict[str, nn.Module],
    records: dict[str, ModuleRecord],
    running: list[str],
    tracer: FieldTracer,
) -> Iterator[None]:
    """Keep `running` the stack of modules that run, and note each module's receptive field as it
    finishes, while the context lasts.

    Args:
        modules: by name.
        records: by the same names; they are added to.
        running: is changed in place, the innermost module last.
        tracer: is active meanwhile.
    """

    def enter(name: str, *_: Any) -> None:
        running.append(name)

    def leave(name: str, _: nn.Module, __: Any, output: Any) -> None:
        running.pop()
        if isinstance(output, Tensor) and output.ndim == 4 and tracer.depends(output):
            records[name].has_field = True
            records[name].field = tracer.field(output)

    handles = [m.register_forward_pre_hook(partial(enter, n)) for n, m in modules.items()]
    handles += [m.register_forward_hook(partial(leave, n)) for n, m in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
