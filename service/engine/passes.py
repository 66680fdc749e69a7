"""One pass of a network over rows of several jobs: how many rows it may have, and what its answers
are worth.
"""

import math
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from interp.attack.unanswered import finite_rows, legal_logits
from interp.layer import LOGITS
from interp.network.network import Network
from interp.probe import Answer
from interp.rows import Chunks, cut
from service.engine.job import Job, NotFinite, RowRange
from service.engine.limits import EngineLimits


class PassRows:
    """The most rows of a pass, which shrink for a network that ran out of memory and grow again
    with every pass that went well.
    """

    def __init__(self, limits: EngineLimits) -> None:
        """Begin with the engine's limits for every network.

        Args:
            limits: rows and memory of a pass.
        """
        self._limits = limits
        self._shrunk: WeakKeyDictionary[Network, int] = WeakKeyDictionary()

    def most(self, leader: Job[Any]) -> int:
        """Find the most rows of a pass that a job leads, at least 1.

        Args:
            leader: the job whose network the pass runs, and whose bytes a row are reckoned with.

        Returns:
            The number of rows.
        """
        by_memory = max(1, self._limits.memory // 2 // leader.row_bytes)
        tick_rows = self._limits.tick_rows
        return min(tick_rows, by_memory, self._shrunk.get(leader.model.network, tick_rows))

    def shrink(self, network: Network, rows: int) -> None:
        """Limit the passes of a network to half the rows of one that ran out of memory, but at
        least 1.

        Args:
            network: whose pass failed.
            rows: of that pass.
        """
        self._shrunk[network] = max(1, rows // 2)

    def grow(self, network: Network) -> None:
        """Give a network that was shrunk a sixteenth more rows, up to the engine's limit.

        Args:
            network: whose pass succeeded; without effect on the limit if it was not shrunk.
        """
        limit = self._shrunk.pop(network, self._limits.tick_rows)
        limit += max(1, limit // 16)
        if limit < self._limits.tick_rows:
            self._shrunk[network] = limit


def run_pass(rows: Sequence[RowRange], chunk: int) -> list[Answer]:
    """Answer rows of jobs that share a network in one pass.

    Args:
        rows: of jobs with equal batch keys.
        chunk: rows of a deterministic pass.

    Returns:
        An answer for each row range, in order.

    Raises:
        Exception: whatever the network or a job's objective raises.
    """
    network = rows[0].job.model.network
    oracle = Chunks(network, chunk) if rows[0].job.deterministic else network
    return oracle.answer(
        [cut(r.job.probe, r.start, r.stop) for r in rows if r.job.probe is not None]
    )


def not_finite(answer: Answer, first: int) -> NotFinite | None:
    """Say what a network gave that is no number.

    Args:
        answer: of a pass.
        first: the number of its first row in the job's probe.

    Returns:
        An error of the first row at fault and what was found there; None where score, gradient
        and activations are finite, and the logits legal (`interp.attack.unanswered.legal_logits`).
    """
    for values in (answer.logits, answer.activations.get(LOGITS)):
        if values is not None and not _all_finite(values) and not legal_logits(values).all():
            return _error("logits", legal_logits(values), first)
    inner = [values for name, values in answer.activations.items() if name != LOGITS]
    others = [("gradient", answer.grad), ("score", answer.score)]
    for what, values in [*others, *(("activation", values) for values in inner)]:
        if values is not None and not _all_finite(values):
            return _error(what, finite_rows(values), first)
    return None


def _error(what: str, sound: Tensor, first: int) -> NotFinite:
    rows = (~sound).nonzero().flatten().tolist()
    more = f" (and of {len(rows) - 1} more)" if len(rows) > 1 else ""
    return NotFinite(
        f"the network gave values that are infinite or not numbers: {what} of image "
        f"{first + rows[0]}{more}",
        first + rows[0],
    )


def _all_finite(values: Tensor) -> bool:
    """A finite sum has finite terms alone, and is had much sooner than a look at each; a sum that
    is not may have overflowed.
    """
    return math.isfinite(values.sum().item()) or bool(values.isfinite().all())


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that the device, or the machine, has no memory left.

    Args:
        error: that a pass raised.

    Returns:
        Whether it is about memory.
    """
    return isinstance(
        error, torch.OutOfMemoryError | MemoryError
    ) or "can't allocate memory" in str(error)
