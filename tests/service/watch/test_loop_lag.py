"""A hold of the event loop is measured, at its time and afterwards."""

import asyncio
import threading
import time

from service.watch.loop_lag import PERIOD, WINDOW, LoopLag

HOLD = 0.2


def test_a_hold_of_the_loop_is_seen() -> None:
    seen = list[float]()
    lag = LoopLag(seen.append)
    during = list[float]()

    async def run() -> None:
        task = asyncio.create_task(lag.run())
        await asyncio.sleep(5 * PERIOD)
        timer = threading.Timer(0.75 * HOLD, lambda: during.append(lag.highest()))
        timer.start()
        time.sleep(HOLD)  # noqa: ASYNC251 - this is what must not happen in a server
        await asyncio.sleep(5 * PERIOD)
        timer.join()
        task.cancel()

    asyncio.run(run())
    assert len(seen) > 2
    assert max(seen) >= HOLD - PERIOD
    assert lag.highest() >= HOLD - PERIOD
    assert during[0] >= 0.75 * HOLD - 2 * PERIOD  # the loop itself could not have told yet


def test_the_highest_is_forgotten_after_two_windows() -> None:
    lag = LoopLag(lambda _: None)
    lag._highest = (0.0, 1.0)
    lag.turn_window()
    assert lag.highest() == 1.0
    lag.turn_window()
    assert lag.highest() == 0.0
    assert WINDOW > 0
