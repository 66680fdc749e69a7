"""What each share has had of the device: start-time fair queueing."""

import time
from collections.abc import Iterator

from service.engine.share import OWN, Account, Share, least_served

RECENT_SECONDS = 10.0  # after its last work for which a share still counts as company
MOST_IDLE = 1000  # accounts that are kept of those that have nothing to do


class Ledger:
    """The accounts of one engine by key. Not to be used by two threads at a time.

    Start-time fair queueing (Goyal, Vin and Cheng 1996): whoever has had least is next, and whoever
    comes back starts where the one that is served then stands. While all accounts want the device,
    any two of them have had as much by their weights, but for what a pass of each takes.
    """

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._clock = 0.0  # virtual time: where the account stood that was served last

    def __iter__(self) -> Iterator[Account]:
        """The accounts, those of shares that have nothing to do among them."""
        return iter(self._accounts.values())

    def find(self, key: str) -> Account | None:
        """Return the account of a key, if there is one."""
        return self._accounts.get(key)

    def open(self, share: Share) -> Account:
        """Find the account of a share that has something to do now.

        Args:
            share: its weight counts from now on.

        Returns:
            The account, which has saved nothing up.
        """
        account = self._accounts.pop(share.key, None) or Account(share)
        if not account.busy:
            if not any(other.busy for other in self):  # nobody is left who could be owed something
                self._clock = max([self._clock, *(other.served for other in self)])
            account.served = max(account.served, self._clock)
        account.share, account.seen = share, time.monotonic()
        self._accounts[share.key] = account  # the last to be forgotten
        if len(self._accounts) > MOST_IDLE:
            self._forget()
        return account

    def charge(self, account: Account, seconds: float, rows: int = 0) -> None:
        """Note what an account has had.

        Args:
            account: that was served.
            seconds: of the device.
            rows: that were answered.
        """
        account.seconds += seconds
        account.rows += rows
        account.served += seconds / account.share.weight
        account.seen = time.monotonic()

    def serve(self, account: Account) -> None:
        """Have virtual time stand where an account does.

        Args:
            account: whose turn it is.
        """
        self._clock = max(self._clock, account.served)

    def turn(self) -> Account | None:
        """Return the account that has had least of those with jobs that run, if there is any."""
        return least_served(account for account in self if account.running)

    def company(self) -> list[Account]:
        """The accounts that want the device, and those that did in the last RECENT_SECONDS, but for
        the server's own calls.
        """
        recent = time.monotonic() - RECENT_SECONDS
        return [
            account
            for account in self
            if account.busy or (account.seen > recent and account.share.key != OWN.key)
        ]

    def _forget(self) -> None:
        """Let go of accounts that have nothing to do, those first that were opened first."""
        idle = [key for key, account in self._accounts.items() if not account.busy]
        for key in idle[: max(0, len(idle) - MOST_IDLE // 2)]:
            del self._accounts[key]
