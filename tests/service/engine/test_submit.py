"""Submitting until the engine's queue takes it."""

import asyncio
import time
from collections.abc import Callable

import pytest

from service.engine.job import Draining, QueueFull
from service.engine.submit import LONGEST_PAUSE, solve_when_free, submit_when_free

Run = Callable[[Callable[[], str]], str]


def refusing(*errors: Exception) -> Callable[[], str]:
    """A submission that raises one error a call, then is taken."""
    left = list(errors)

    def submission() -> str:
        if left:
            raise left.pop(0)
        return "taken"

    return submission


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of each pause, which takes no time."""
    seconds: list[float] = []

    async def sleep(pause: float) -> None:
        seconds.append(pause)

    monkeypatch.setattr("service.engine.submit.time.sleep", seconds.append)
    monkeypatch.setattr("service.engine.submit.asyncio.sleep", sleep)
    return seconds


def run_async(submission: Callable[[], str]) -> str:
    """`solve_when_free` as a call that blocks."""

    async def solve() -> str:
        return submission()

    return asyncio.run(solve_when_free(solve))


@pytest.mark.parametrize("run", [submit_when_free, run_async])
def test_it_waits_as_long_as_it_is_told_but_never_long(run: Run, pauses: list[float]) -> None:
    assert run(refusing()) == "taken"
    assert run(refusing(QueueFull(9, 0.25), QueueFull(9, 60.0))) == "taken"
    assert pauses == [0.25, LONGEST_PAUSE]


@pytest.mark.parametrize("run", [submit_when_free, run_async])
def test_other_errors_end_the_waiting(run: Run, pauses: list[float]) -> None:
    with pytest.raises(Draining):
        run(refusing(QueueFull(9, 0.1), Draining()))
    assert pauses == [0.1]


def test_a_pause_is_a_real_one() -> None:
    started = time.monotonic()
    assert submit_when_free(refusing(QueueFull(1, 0.05))) == "taken"
    assert time.monotonic() - started >= 0.05
