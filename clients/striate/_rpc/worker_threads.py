"""Blocking functions of the client, awaited: they run in threads, and what they have under way ends
with the coroutine that waits for them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ParamSpec, TypeVar

from striate.errors import Cancelled, FailedPrecondition

P = ParamSpec("P")
R = TypeVar("R")

_THREADS = 64  # most blocking functions at once; they do little but wait


class _Work:
    """What one blocking function has under way on the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._call: concurrent.futures.Future[Any] | None = None
        self._cancelled = False

    def wait(self, call: concurrent.futures.Future[R]) -> R:
        """Waits in the function's thread; raises Cancelled once `cancel` was called."""
        with self._lock:
            self._call = call
            if self._cancelled:
                call.cancel()
        try:
            return call.result()
        except (concurrent.futures.CancelledError, asyncio.CancelledError):
            raise Cancelled("the call was cancelled") from None

    def cancel(self) -> None:
        """Cancels the call that is waited for, and those that would follow."""
        with self._lock:
            self._cancelled = True
            if self._call is not None:
                self._call.cancel()


_work: contextvars.ContextVar[_Work] = contextvars.ContextVar("striate_work")


class WorkerThreads:
    """Threads for blocking functions, and the way back from them to the running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS, "striate-aio")

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs a blocking function in a thread. If the coroutine is cancelled, so is the call that
        the function waits for.

        Args:
            function: The function.
            args: Its arguments.
            kwargs: Its keyword arguments.

        Returns:
            What it returns.
        """
        work, context = _Work(), contextvars.copy_context()
        context.run(_work.set, work)
        call = partial(function, *args, **kwargs)
        try:
            return await self._loop.run_in_executor(self._pool, context.run, call)
        except asyncio.CancelledError:
            work.cancel()
            raise

    def wait(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Waits in such a thread for a coroutine of the event loop.

        Args:
            coroutine: It.

        Returns:
            What it returns.

        Raises:
            Cancelled: Whoever waits for the function has gone.
            FailedPrecondition: This is no such thread.
        """
        work = _work.get(None)
        if work is None or threading.current_thread() is threading.main_thread():
            coroutine.close()
            raise FailedPrecondition(
                "this blocks, and the connection belongs to an event loop: await service.run(...)"
            )
        return work.wait(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def post(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Has the event loop run a coroutine that nobody waits for.

        Args:
            coroutine: It.
        """
        if self._loop.is_closed():
            coroutine.close()
        else:
            asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """Lets the threads end; those that wait are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
