"""How several shares go into one pass, and how large it may be while they wait for one another."""

import heapq
from collections.abc import Sequence
from typing import Any

from service.engine.costs import Costs
from service.engine.job import Job, Priority, RowRange
from service.engine.scheduler import choose_leader, share_rows
from service.engine.share import Account

_PARTS = 64  # into which the rows of a pass are shared out, if they are more


def fair_rows(
    company: Sequence[Account],
    turn: Account,
    leader: Job[Any],
    most: int,
    chunk: int,
    costs: Costs,
) -> list[RowRange]:
    """Share the rows of a pass out among the shares whose jobs can be batched with the leading one:
    those that have been served least come first.

    The pass ends soon. Where it leads the last rows of a share, it takes no longer than these rows
    would take beside the others at a steady rate by weights, so that who asks for one row at a time
    is not kept waiting by whoever shares the pass.

    Args:
        company: all accounts that want the device, or did a moment ago.
        turn: of these the one whose turn it is.
        leader: of its jobs the one that decides network, image shape and determinism of the pass.
        most: rows of the pass; a leader that cannot be split may exceed it.
        chunk: deterministic jobs share in whole chunks of so many rows.
        costs: of passes so far.

    Returns:
        The rows that the pass answers.
    """
    grain = chunk if leader.deterministic else 1
    crowds = {account: _alike(account.running, leader) for account in company}
    if not leader.splittable:
        return share_rows([leader], leader, most, chunk)
    priorities = (leader.priority, Priority.INTERACTIVE)
    crowds[turn] = [job for job in crowds[turn] if job.priority in priorities]
    wanted = {account: _grains(jobs, grain) for account, jobs in crowds.items() if jobs}
    rows = max(grain, min(most, costs.best_rows(leader, grain)))
    if wanted[turn] * grain < rows:
        others = sum(account.share.weight for account in company) / turn.share.weight
        rows = _within(leader, wanted[turn] * grain, rows, others, grain, costs)
    second = (costs.seconds(leader, rows) or rows) / rows * grain  # seconds a grain
    ranges = []
    for account, grains in _share_out(wanted, rows // grain, second).items():
        ranges += _rows_of(account, crowds[account], leader, grains * grain, turn, chunk)
    return ranges


def _alike(jobs: Sequence[Job[Any]], leader: Job[Any]) -> list[Job[Any]]:
    """The jobs whose rows go through the network in one sweep with the leader's."""
    key, policy = leader.batch_key(), leader.policy
    return [job for job in jobs if job.pending and job.batch_key() == key and job.policy == policy]


def _grains(jobs: Sequence[Job[Any]], grain: int) -> int:
    return sum(-(-job.pending // grain) for job in jobs)


def _within(leader: Job[Any], own: int, most: int, times: float, grain: int, costs: Costs) -> int:
    """The rows of a pass that takes at most so many times as long as the leading share's own."""
    alone, rows = costs.seconds(leader, own), most
    while alone is not None and rows > own:
        together = costs.seconds(leader, rows)
        if together is None or together <= times * alone:
            break
        rows = max(own, rows * 3 // 4 // grain * grain)
    return rows


def _share_out(wanted: dict[Account, int], grains: int, second: float) -> dict[Account, int]:
    """Give each account so many grains that all come as near as can be to having been served
    alike.
    """
    given = dict.fromkeys(wanted, 0)
    part = max(1, grains // _PARTS)
    heap = [(account.served, place, account) for place, account in enumerate(wanted)]
    heapq.heapify(heap)
    while grains and heap:
        served, place, account = heapq.heappop(heap)
        more = min(part, grains, wanted[account] - given[account])
        given[account] += more
        grains -= more
        if given[account] < wanted[account]:
            served += more * second / account.share.weight
            heapq.heappush(heap, (served, place, account))
    return {account: number for account, number in given.items() if number}


def _rows_of(
    account: Account,
    jobs: Sequence[Job[Any]],
    leader: Job[Any],
    rows: int,
    turn: Account,
    chunk: int,
) -> list[RowRange]:
    """The rows of one share: as it would share a pass of so many among its own jobs."""
    if account is turn:
        return share_rows(jobs, leader, rows, chunk)
    fitting = [job for job in jobs if job.splittable or job.pending <= rows]
    if not fitting:
        return []
    account.turns += 1
    return share_rows(fitting, choose_leader(fitting, account.turns), rows, chunk)
