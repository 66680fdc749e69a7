"""Symbolic traces of modules that leave other threads alone.

While torch.fx traces, `nn.Module.__call__` and `__getattr__` are replaced in the whole process: a
module that another thread calls meanwhile would become part of the trace, or fail. A
`PrivateTracer` hands such calls on. What it cannot do is to let two threads trace at once, since
each would put back what it found: whoever has several threads gives every tracer the same lock.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from torch import fx, nn

Turn = AbstractContextManager[object]  # entered, and left again, by one thread at a time
ALONE: Turn = nullcontext()  # where no other thread traces

# Every thread has its own value.
_traces: ContextVar[bool] = ContextVar("traces", default=False)


@contextmanager
def not_traced() -> Iterator[None]:
    """While active, what the thread calls is no part of its trace."""
    token = _traces.set(False)
    try:
        yield
    finally:
        _traces.reset(token)


class PrivateTracer(fx.Tracer):
    """Traces what the thread calls that began the trace, and nothing else."""

    def __init__(self, turn: Turn = ALONE) -> None:
        """Make a tracer.

        Args:
            turn: held while it traces.
        """
        super().__init__()
        self._turn = turn

    def trace(
        self, root: nn.Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None
    ) -> fx.Graph:
        """Trace a module; see `fx.Tracer.trace`."""
        with self._turn:
            token = _traces.set(True)
            try:
                return super().trace(root, concrete_args)
            finally:
                _traces.reset(token)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Note the call of a module as the base class does; just call it for another thread."""
        if not _traces.get():
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Note that a parameter is read as the base class does; hand it to another thread."""
        if not _traces.get():
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)
