"""Whose turn it is: which waiting job is let in, who leads the next pass, and who shares it."""

import time
from collections.abc import Iterable
from typing import Any

from service.engine.job import Job, Piece, Priority

PATIENCE = 5.0  # seconds that a job which does not fit is overtaken by others
# one pass and one admission in so many goes to batch jobs first, although interactive ones wait
BATCH_TURN = 4


def first_in(waiting: Iterable[Job[Any]], admitted: int, free: int | None) -> Job[Any] | None:
    """The waiting job to be let in after `admitted` others: the oldest that fits into `free` bytes
    (None: any), interactive ones first.

    Small jobs may overtake a large one that does not fit, but not for ever: once it has waited for
    PATIENCE seconds, nobody does.
    """
    first = Priority.BATCH if admitted % BATCH_TURN == BATCH_TURN - 1 else Priority.INTERACTIVE
    for job in sorted(waiting, key=lambda job: (job.priority is not first, job.submitted)):
        if free is None or job.memory <= free:
            return job
        if time.monotonic() - job.submitted > PATIENCE:
            return None
    return None


def leader(running: Iterable[Job[Any]], tick: int) -> Job[Any]:
    """The job that decides what the pass of this tick is: the one whose last turn is longest ago,
    interactive ones first.
    """
    ready = [job for job in running if job.pending]
    interactive = [job for job in ready if job.priority is Priority.INTERACTIVE]
    batch = [job for job in ready if job.priority is Priority.BATCH]
    batch_leads = bool(batch) and (not interactive or tick % BATCH_TURN == 0)
    return min(batch if batch_leads else interactive, key=lambda job: job.served)


def shares(running: Iterable[Job[Any]], leading: Job[Any], rows: int, chunk: int) -> list[Piece]:
    """The rows of a pass of at most `rows`: the leader's and those of its company, shared out
    evenly.

    Deterministic jobs share in whole chunks of `chunk` rows, see `interp.rows.Chunks`.
    """
    grain = chunk if leading.deterministic else 1
    space = max(1, rows // grain)  # what follows counts in grains
    company = [job for job in running if job.pending and job.company() == leading.company()]
    pieces = []
    if not leading.splittable:
        pieces.append(Piece(leading, 0, leading.pending))
        space -= -(-leading.pending // grain)
    # Batch rows would slow an interactive pass down, while interactive rows are welcome in a batch
    # pass.
    for priority in dict.fromkeys((leading.priority, Priority.INTERACTIVE)):
        crowd = [
            job
            for job in company
            if job.priority is priority and (job is not leading or job.splittable)
        ]
        crowd = sorted(crowd, key=lambda job: job.served)[: max(0, space)]
        crowd.sort(
            key=lambda job: job.pending
        )  # small jobs first: what they leave over is shared by the large
        for place, job in enumerate(crowd):
            wanted = -(-job.pending // grain)
            share = min(wanted, space // (len(crowd) - place))
            if job.splittable or share == wanted:
                pieces.append(
                    Piece(job, job.answered, job.answered + min(job.pending, share * grain))
                )
                space -= share
    return pieces
