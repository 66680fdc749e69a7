"""How many pixels may be decoded: of one image, for one request, and for all at a time."""

import asyncio
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from types import TracebackType

from service.imaging.decoding.fair_pool import LEAST, FairPool, ShareCall

KEPT = 8  # the part of the server's pixels, beyond them, that is kept for shares that hold less
_SOONEST = 0.1  # seconds after which it is worth trying again


class PoolBusy(RuntimeError):
    """As many pixels wait to be decoded as the server allows; `retry_after` is in seconds."""

    def __init__(self, found: int, held: int, allowed: int, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"the images have {found} pixels, and {held} of other calls are being decoded already; "
            f"the server takes {allowed} at a time: try again in {retry_after:.1f} s, or send fewer"
        )


@dataclass(frozen=True)
class DecodeLimits:
    """Pixels that may be decoded. Each image counts as `LEAST` at the least, and as what it is
    resized to where that is more.

    Attributes:
        image: of one image.
        request: of all images of one request.
        server: of all requests at a time.
    """

    image: int = 64_000_000
    request: int = 2**29
    server: int = 2**31


class PixelBudget:
    """Counts the pixels of all calls that are being decoded. To be used from one event loop.

    Args:
        limits: what may be decoded.
        pool: where it is done, which tells how long that takes.
    """

    def __init__(self, limits: DecodeLimits, pool: FairPool) -> None:
        self.limits, self._pool = limits, pool
        self._held: Counter[Hashable] = Counter()
        self._held_by_share: Counter[Hashable] = Counter()
        self._waiting: dict[asyncio.Future[None], tuple[Hold, int]] = {}
        self.pixels = self.refused = 0  # in flight; calls that were told to come back

    def hold(self, caller: Hashable) -> "Hold":
        """Begin to count for a caller: a context that gives all back in the end.

        Args:
            caller: whose pixels count together.
        """
        return Hold(self, caller)

    def held(self, caller: Hashable) -> int:
        """Pixels that a caller holds now."""
        return self._held[caller]

    def _fits(self, hold: "Hold", pixels: int) -> bool:
        of_caller = self._held[hold.caller] + pixels <= self.limits.request
        return of_caller and self.pixels + pixels <= self.limits.server

    def change(self, hold: "Hold", pixels: int) -> None:
        """Count more pixels, or fewer, for whoever holds them, and let in who waits for room.

        Args:
            hold: whose.
            pixels: how many more; negative for fewer.
        """
        hold.pixels += pixels
        self.pixels += pixels
        self._held[hold.caller] += pixels
        self._held_by_share[hold.share] += pixels
        for counter, holder in ((self._held, hold.caller), (self._held_by_share, hold.share)):
            if counter[holder] <= 0:
                del counter[holder]
        if pixels < 0:
            for future, (waiting, more) in list(self._waiting.items()):
                if not future.done() and self._fits(waiting, more):
                    self.change(waiting, more)
                    future.set_result(None)

    def refuse_if_full(self, hold: "Hold", more: int) -> None:
        """Refuse pixels for which there is no room. An eighth beyond the server's limit is kept for
        shares that hold no more than that, whoever else has filled it.

        Raises:
            PoolBusy: the server is at its limit.
        """
        kept = self.limits.server // KEPT
        few = hold.share != hold.caller and self._held_by_share[hold.share] + more <= kept
        if self.pixels + more > self.limits.server + (kept if few else 0):
            self.refused += 1
            wait = max(_SOONEST, self.pixels / self._pool.pixels_per_second)
            raise PoolBusy(more, self.pixels, self.limits.server, wait)

    async def wait(self, hold: "Hold", pixels: int) -> None:
        """Count pixels as soon as there is room for them, for the caller and in all.

        Args:
            hold: whose; it should hold nothing else, or two might wait for each other.
            pixels: how many.
        """
        if self._fits(hold, pixels):
            self.change(hold, pixels)
            return
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[room] = hold, pixels
        try:
            await room
        finally:
            del self._waiting[room]


class Hold:
    """The pixels that one piece of work keeps from others while they are decoded.

    Attributes:
        caller: whose they are.
        share: to which the caller belongs; the caller itself where nobody is told apart.
        pixels: how many.
    """

    def __init__(self, budget: PixelBudget, caller: Hashable) -> None:
        self._budget, self.caller, self.pixels = budget, caller, 0
        self.share = caller.share if isinstance(caller, ShareCall) and caller.share else caller

    async def set(self, pixels: int, patient: bool = False) -> None:
        """Hold so many pixels, no longer those of before.

        Args:
            pixels: at least `LEAST`.
            patient: wait until there is room, rather than be refused.

        Raises:
            PoolBusy: there is no room, and the caller does not wait.
        """
        pixels = max(LEAST, pixels)
        if patient:
            self.give_back(self.pixels)
            await self._budget.wait(self, pixels)
            return
        self._budget.refuse_if_full(self, pixels - self.pixels)
        self._budget.change(self, pixels - self.pixels)

    def give_back(self, pixels: int) -> None:
        """Hold fewer: so many have been decoded."""
        if fewer := min(pixels, self.pixels):
            self._budget.change(self, -fewer)

    def __enter__(self) -> "Hold":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back(self.pixels)
