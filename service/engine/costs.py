"""What a pass takes, as measured so far: by it a pass is made so large that it costs little and
ends soon.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from interp.network.network import Network
from service.engine.job import Job

PASS_SECONDS = 0.1  # that a pass may take while somebody else waits
FIRST_ROWS = 8  # of a pass of which nothing is known
AS_CHEAP = 1.07  # times the least seconds a row, for which a smaller pass is as good
LOOK_AGAIN = 64  # passes after which a size beside the best is tried once more
_LEAST_SECONDS = 1e-9  # a row, of a clock that has not moved
_NEW = 0.25  # how much the newest measurement counts


@dataclass
class _Measured:
    """Seconds a row of passes of about so many rows: a mean in which the newest count most."""

    seconds: float
    passes: int = 1

    def note(self, seconds: float) -> None:
        self.seconds += (seconds - self.seconds) * _NEW
        self.passes += 1


class Costs:
    """Seconds a row of the passes of every kind, by their size in powers of two."""

    def __init__(self) -> None:
        self._kinds: WeakKeyDictionary[Network, dict[Hashable, dict[int, _Measured]]] = (
            WeakKeyDictionary()
        )
        self._asked = 0

    def note(self, job: Job[Any], rows: int, seconds: float) -> None:
        """Learn from a pass.

        Args:
            job: one of its jobs, all of which had probes of one kind.
            rows: of the pass, at least 1.
            seconds: that it took.
        """
        sizes = self._sizes(job)
        size, row = _size(rows), max(_LEAST_SECONDS, seconds / rows)
        if size in sizes:
            sizes[size].note(row)
        else:
            sizes[size] = _Measured(row)

    def seconds(self, job: Job[Any], rows: int) -> float | None:
        """Estimate a pass.

        Args:
            job: with a probe of the kind in question.
            rows: of the pass.

        Returns:
            Seconds; None where nothing is known.
        """
        sizes = self._sizes(job)
        if not sizes:
            return None
        size = _size(rows)
        nearest = min(sizes, key=lambda known: abs(known.bit_length() - size.bit_length()))
        # A smaller pass costs more a row, but hardly more in all.
        return sizes[nearest].seconds * (rows if nearest <= size else max(rows, nearest))

    def best_rows(self, job: Job[Any], grain: int) -> int:
        """Choose how many rows a pass should have that is to end soon: as few as cost no more a row
        than the best number does, and no more than PASS_SECONDS allow.

        Args:
            job: with a probe of the kind in question.
            grain: rows come in multiples of it.

        Returns:
            At least `grain`.
        """
        sizes = self._sizes(job)
        if not sizes:
            return max(grain, FIRST_ROWS // grain * grain)
        least = min(measured.seconds for measured in sizes.values())
        best = min(n for n, measured in sizes.items() if measured.seconds <= AS_CHEAP * least)
        self._asked += 1
        smaller, larger = best // 2, best * 2
        if smaller >= grain and (smaller not in sizes or self._asked % LOOK_AGAIN == 0):
            best = smaller
        elif larger * least <= PASS_SECONDS and larger not in sizes:
            best = larger
        within = int(PASS_SECONDS / (sizes[best].seconds if best in sizes else least))
        return max(grain, min(best, within) // grain * grain)

    def _sizes(self, job: Job[Any]) -> dict[int, _Measured]:
        return self._kinds.setdefault(job.model.network, {}).setdefault(job.kind, {})


def _size(rows: int) -> int:
    """The largest power of two that is at most so many."""
    return 1 << (rows.bit_length() - 1)
