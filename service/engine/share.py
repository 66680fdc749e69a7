"""Whose work it is, and what they have had of the device."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.engine.job import Job

Call = tuple[Callable[[], Any], "Future[Any]"]  # a call for the device, and where its result goes


@dataclass(frozen=True)
class Share:
    """Whose turn work takes: all that has the same key takes turns among itself alone.

    Attributes:
        key: of a caller; "" for what is the server's own, and where nobody is told apart.
        weight: how much of the device they get beside others, relative to these; above 0.
    """

    key: str = ""
    weight: float = 1.0


OWN = Share()


@dataclass(eq=False)
class Account:
    """What the holder of a share wants of the device, and has had.

    Attributes:
        share: the last one that was given for its key.
        served: virtual time, in seconds: what it has had over its weight, raised to the others'
            whenever it comes back, so that nobody saves up what they did not use.
        seconds: of the device that it has had.
        rows: that were answered.
        turns: passes that it led.
        admitted: jobs that began.
        waiting, running, calls: its jobs before and after admission, oldest first, and its calls.
        waiting_memory, running_memory: bytes that these jobs hold.
        seen: when it last had something to do, `time.monotonic()`.
    """

    share: Share
    served: float = 0.0
    seconds: float = 0.0
    rows: int = 0
    turns: int = 0
    admitted: int = 0
    waiting: "deque[Job[Any]]" = field(default_factory=deque)
    running: "list[Job[Any]]" = field(default_factory=list)
    calls: deque[Call] = field(default_factory=deque)
    waiting_memory: int = 0
    running_memory: int = 0
    seen: float = field(default_factory=time.monotonic)

    @property
    def busy(self) -> bool:
        """Whether it has anything to do."""
        return bool(self.running or self.waiting or self.calls)


@dataclass(frozen=True)
class ShareUse:
    """How it stands with a share.

    Attributes:
        key, weight: of the share.
        seconds: of the device that it has had.
        rows: that were answered.
        waiting, running: its jobs before and after admission.
        oldest_wait: seconds that the oldest of the waiting ones has been waiting.
    """

    key: str
    weight: float = 1.0
    seconds: float = 0.0
    rows: int = 0
    waiting: int = 0
    running: int = 0
    oldest_wait: float = 0.0

    @classmethod
    def of(cls, account: Account) -> "ShareUse":
        """Read an account, which nobody else changes meanwhile."""
        return cls(
            account.share.key,
            account.share.weight,
            account.seconds,
            account.rows,
            len(account.waiting),
            len(account.running),
            max((job.waited for job in account.waiting), default=0.0),
        )


def least_served(accounts: Iterable[Account]) -> Account | None:
    """Choose whose turn it is.

    Args:
        accounts: of those that want the device.

    Returns:
        The one that has had least; None where there is none.
    """
    return min(accounts, key=lambda account: account.served, default=None)
