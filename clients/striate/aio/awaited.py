"""A handle's blocking methods as methods of its twin that are awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from striate._rpc.loop_caller import LoopCaller

P = ParamSpec("P")
R = TypeVar("R")
Handle = TypeVar("Handle")


class Twin(Generic[Handle]):
    """A handle of the event loop, around one of `striate.connect`'s that uses the loop's caller.

    Args:
        handle: The handle.
        caller: The connection of both.
    """

    def __init__(self, handle: Handle, caller: LoopCaller) -> None:
        self._handle = handle
        self._caller = caller

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs what would block the event loop, such as `report.to_html`, in a thread; if the
        coroutine is cancelled, so is the call that the function waits for.

        Args:
            function: The function; results of this connection may make calls in it.
            args: Its arguments.
            kwargs: Its keyword arguments.

        Returns:
            What it returns.
        """
        return await self._caller.threads.run(function, *args, **kwargs)


def awaited(
    method: Callable[Concatenate[Handle, P], R],
) -> Callable[Concatenate[Twin[Handle], P], Coroutine[Any, Any, R]]:
    """Makes the twin of a handle's method: the same arguments, result and errors.

    Args:
        method: The blocking method.

    Returns:
        The method of the twin's class.
    """

    @wraps(method)
    async def twin(self: Twin[Handle], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._caller.threads.run(method, self._handle, *args, **kwargs)

    return twin
