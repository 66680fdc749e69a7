"""Whose turn it is: which waiting job is admitted, who leads the next pass, and who shares it."""

import time
from collections.abc import Iterable
from typing import Any

from service.engine.job import Job, Priority, RowRange

OVERTAKEN_SECONDS = 5.0  # that a job which does not fit may be overtaken by others
# one pass and one admission in so many goes to batch jobs first, although interactive ones wait
BATCH_TURN = 4


def next_to_admit(waiting: Iterable[Job[Any]], admitted: int, free: int | None) -> Job[Any] | None:
    """Choose the waiting job that is admitted next: the oldest that fits, interactive ones first.

    Small jobs may overtake a large one that does not fit, but not for ever: once it has waited for
    OVERTAKEN_SECONDS, nobody does.

    Args:
        waiting: all jobs that wait.
        admitted: how many jobs have been admitted so far; every BATCH_TURN-th admission goes to
            batch jobs first.
        free: bytes that are left for it; None: it may be of any size.

    Returns:
        The job; None where none fits, or a large one has been overtaken for too long.
    """
    first = Priority.BATCH if admitted % BATCH_TURN == BATCH_TURN - 1 else Priority.INTERACTIVE
    for job in sorted(waiting, key=lambda job: (job.priority is not first, job.submitted)):
        if free is None or job.memory <= free:
            return job
        if time.monotonic() - job.submitted > OVERTAKEN_SECONDS:
            return None
    return None


def choose_leader(running: Iterable[Job[Any]], tick: int) -> Job[Any]:
    """Choose the job that decides what the pass of a tick is: the one whose last tick is longest
    ago, interactive ones first.

    Args:
        running: admitted jobs, of which at least one has rows that are pending.
        tick: number of the tick; every BATCH_TURN-th is led by a batch job if there is one.

    Returns:
        The leading job.
    """
    ready = [job for job in running if job.pending]
    interactive = [job for job in ready if job.priority is Priority.INTERACTIVE]
    batch = [job for job in ready if job.priority is Priority.BATCH]
    batch_leads = bool(batch) and (not interactive or tick % BATCH_TURN == 0)
    return min(batch if batch_leads else interactive, key=lambda job: job.last_tick)


def share_rows(
    running: Iterable[Job[Any]], leader: Job[Any], rows: int, chunk: int
) -> list[RowRange]:
    """Share the rows of a pass out evenly among the leading job and those that can be batched with
    it.

    Args:
        running: admitted jobs, the leader among them.
        leader: decides network, image shape and determinism of the pass.
        rows: most rows of the pass; a leader that cannot be split may exceed it.
        chunk: deterministic jobs share in whole chunks of so many rows, see `interp.rows.Chunks`.

    Returns:
        The rows that the pass answers.
    """
    grain = chunk if leader.deterministic else 1
    space = max(1, rows // grain)  # what follows counts in grains
    batch = [job for job in running if job.pending and job.batch_key() == leader.batch_key()]
    ranges = []
    if not leader.splittable:
        ranges.append(RowRange(leader, 0, leader.pending))
        space -= -(-leader.pending // grain)
    # Batch rows would slow an interactive pass down, while interactive rows are welcome in a batch
    # pass.
    for priority in dict.fromkeys((leader.priority, Priority.INTERACTIVE)):
        crowd = [
            job
            for job in batch
            if job.priority is priority and (job is not leader or job.splittable)
        ]
        crowd = sorted(crowd, key=lambda job: job.last_tick)[: max(0, space)]
        # Small jobs first: what they leave over is shared by the large.
        crowd.sort(key=lambda job: job.pending)
        for place, job in enumerate(crowd):
            needed = -(-job.pending // grain)
            share = min(needed, space // (len(crowd) - place))
            if job.splittable or share == needed:
                stop = job.answered + min(job.pending, share * grain)
                ranges.append(RowRange(job, job.answered, stop))
                space -= share
    return ranges
