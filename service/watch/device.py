"""Whether the device gets on: a pass that takes too long makes the server not ready."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from service.engine.activity import Activity

log = structlog.get_logger("striate")

LOOKS = 10  # in the time that a pass may take
LONGEST = 1.0  # seconds between two looks

OnChange = Callable[[bool], Awaitable[None]]  # (whether the device gets on)


class DeviceWatch:
    """Looks at what the device's thread does.

    Args:
        activity: of the device's thread.
        most: seconds that one pass, or one call between two passes, may take.
        on_change: told when the device hangs, and when it gets on again.
    """

    def __init__(self, activity: Activity, most: float, on_change: OnChange) -> None:
        self._activity, self._most, self._on_change = activity, most, on_change
        self.hangs = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(min(LONGEST, self._most / LOOKS))
            await self.look()

    async def look(self) -> None:
        """Look once, log what has changed, and tell it."""
        present = self._activity.present()
        hangs = present is not None and present[1] > self._most
        if hangs == self.hangs:
            return
        self.hangs = hangs
        if present is not None and hangs:
            what, seconds = present
            log.error("the device hangs", what=what, seconds=round(seconds, 1), most=self._most)
        else:
            log.warning("the device gets on again")
        await self._on_change(not hangs)
