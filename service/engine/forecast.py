"""How long a job takes at the least, by what passes like its own have taken: for those who would
wait in vain.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from interp.network.network import Network
from service.engine.job import Job, Least
from service.engine.share import Account, Share

KNOWN_PASSES = 20  # of about as many rows, before anything is told of others like them
# Of an estimate: passes of about as many rows may have had twice as many, and whoever may yet make
# it is not sent away.
TRUST = 0.5


@dataclass
class _Seen:
    """Passes of one kind of about so many rows, and the mean seconds of the quickest."""

    seconds: float
    passes: int = 0

    def note(self, seconds: float) -> None:
        self.passes += 1
        slow = seconds > self.seconds
        self.seconds += (seconds - self.seconds) * (0.02 if slow else 0.5)


class Forecast:
    """Seconds of gradient passes by network, layers, images' shape, determinism, and rows in powers
    of two. The
    engine's thread alone notes them, any thread may ask.

    Args:
        most: rows of a pass.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: WeakKeyDictionary[Network, dict[tuple[object, ...], _Seen]] = (
            WeakKeyDictionary()
        )

    def note(self, job: Job[Any], rows: int, seconds: float) -> None:
        """Learn from a pass all of whose rows asked for gradients of the same layers.

        Args:
            job: one of its jobs.
            rows: of the pass.
            seconds: that it took.
        """
        probe = job.probe
        if probe is None or probe.objective is None:
            return
        layers = frozenset((*probe.layers, *probe.objective.layers))
        seen = self._seen.setdefault(job.model.network, {})
        key = layers, tuple(probe.images.shape[1:]), job.deterministic, rows.bit_length()
        seen.setdefault(key, _Seen(seconds)).note(seconds)

    def seconds(self, network: Network, least: Least, deterministic: bool) -> float | None:
        """Estimate the passes of a job from below.

        Args:
            network: that answers it.
            least: what it asks for at the least.
            deterministic: whether it does so in chunks.

        Returns:
            Seconds of the device alone; None where too little is known.
        """
        rows = min(least.rows, self._most)
        if rows < 1:
            return None
        key = least.layers, tuple(least.shape), deterministic, rows.bit_length()
        seen = self._seen.get(network, {}).get(key)
        if seen is None or seen.passes < KNOWN_PASSES:
            return None
        return seen.seconds * least.steps * max(1.0, least.rows / self._most)

    def finished_in(
        self,
        network: Network,
        least: Least,
        deterministic: bool,
        share: Share,
        accounts: Iterable[Account],
    ) -> float | None:
        """Estimate from below when a job will be finished: others delay it by what they surely want
        of the device, but by no more than their turns meanwhile.

        Args:
            network: that answers it.
            least: what it asks for at the least.
            deterministic: whether it does so in chunks.
            share: whose it is.
            accounts: of the engine, which nobody changes meanwhile.

        Returns:
            Seconds; None where too little is known.
        """
        alone = self.seconds(network, least, deterministic)
        if alone is None:
            return None
        total = alone
        for account in accounts:
            if account.share.key != share.key:
                jobs = (*account.running, *account.waiting)
                turns = alone * account.share.weight / share.weight
                total += min(turns, sum(map(self._left, jobs)))
        return total

    def _left(self, job: Job[Any]) -> float:
        if job.least is None:
            return 0.0
        whole = self.seconds(job.model.network, job.least, job.deterministic)
        if whole is None:
            return 0.0
        return whole * max(0.0, 1 - job.had / (job.least.rows * job.least.steps))
