"""Times that can be compared: the rivals take turns, so that all of them see the same state of the
machine.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds that a call takes, and its result."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def seconds(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    return timed(call)[0]


def interleaved(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of `repeats` calls of each, turn by turn, after one of each that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            taken = seconds(call)
            if turn:
                times[name].append(taken)
    return times


def ratio(times: Mapping[str, list[float]], name: str, over: str) -> float:
    """The median over the turns of how many times as long `name` took as `over` in the same
    turn.
    """
    return statistics.median(a / b for a, b in zip(times[name], times[over], strict=True))


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    return float(np.percentile(times, 95))
