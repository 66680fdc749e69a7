"""Work that gives way to those who cannot wait: it is submitted again and again while the engine's
queue is full.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.engine.job import QueueFull

T = TypeVar("T")

LONGEST_PAUSE = 1.0  # seconds until the next try


def submit_when_free(submit: Callable[[], T]) -> T:
    """Submit a job as soon as the engine's queue takes it. Blocks.

    Args:
        submit: submits the job and raises QueueFull while it is refused; called before each pause,
            so that what it raises ends the waiting.

    Returns:
        What `submit` returns.
    """
    while True:
        try:
            return submit()
        except QueueFull as full:
            time.sleep(min(full.retry_after, LONGEST_PAUSE))


async def solve_when_free(solve: Callable[[], Awaitable[T]]) -> T:
    """Submit a job as soon as the engine's queue takes it, and wait for its result on the event
    loop.

    Args:
        solve: submits the job, awaits its result, and raises QueueFull where it is refused.

    Returns:
        What `solve` returns.
    """
    while True:
        try:
            return await solve()
        except QueueFull as full:
            await asyncio.sleep(min(full.retry_after, LONGEST_PAUSE))
