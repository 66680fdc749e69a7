"""Calls in threads that do not hold up the end of the process."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


async def in_daemon_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call that may hang, a download or a user's own code, in a daemon thread of its own.

    Python waits for the threads of its pools before it ends, but not for this one. Cancelling gives
    up the waiting, not the call.

    Args:
        call: may block; it sees the caller's context variables.
        args: of the call.
        kwargs: of the call.

    Returns:
        What the call returns.

    Raises:
        BaseException: what the call raises.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(partial(call, *args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="daemon-call", daemon=True).start()
    return await asyncio.wrap_future(future)


def in_context(call: Callable[[], T]) -> Callable[[], T]:
    """Let a call see the present context variables, wherever it is run.

    Args:
        call: without arguments.

    Returns:
        What is to be run, once, by the same name.
    """
    run = contextvars.copy_context().run

    @wraps(call)
    def ran() -> T:
        return run(call)

    return ran


class Turn:
    """A lock that whoever hangs can be made to let go of."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._holder: object = None

    @contextmanager
    def of(self, holder: object) -> Iterator[None]:
        """Wait until nobody else has the turn, and have it until the context ends.

        Args:
            holder: who it is, for `take_away`.
        """
        with self._free:
            self._free.wait_for(lambda: self._holder is None)
            self._holder = holder
        try:
            yield
        finally:
            self.take_away(holder)

    def take_away(self, holder: object) -> None:
        """Let the next one have the turn, if this one has it.

        Args:
            holder: who may have it.
        """
        with self._free:
            if self._holder is holder:
                self._holder = None
                self._free.notify()


def torch_pool(workers: int, name: str, torch_threads: int) -> ThreadPoolExecutor:
    """Make a pool of threads whose share of torch's threads does not depend on when they begin.

    A thread takes over the number that was set last in the process, which is lower while a model is
    loaded.

    Args:
        workers: the most threads of the pool.
        name: of the threads.
        torch_threads: of each of them, at least 1.

    Returns:
        The pool, whose threads begin when they are needed.
    """
    return ThreadPoolExecutor(workers, name, torch.set_num_threads, (torch_threads,))
