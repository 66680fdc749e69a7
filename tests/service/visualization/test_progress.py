"""Progress of pictures on its way to a reader who may be slow."""

import asyncio

import pytest
import torch

from interp.probe import StepProgress
from service.visualization.progress import MOST_UNSENT, ProgressQueue, StepUpdate
from tests.service.rpc.toys_studio import run


def progress(step: int) -> StepProgress:
    return StepProgress(step, 100, lambda: torch.full((1, 1, 2, 2), step / 100))


async def collected(updates: ProgressQueue, job: "asyncio.Future[None]") -> list[StepUpdate]:
    return [update async for update in updates.until(job)]


def test_updates_come_in_order_and_later_optimizations_are_not_reported() -> None:
    async def scenario() -> None:
        updates, job = ProgressQueue(0), asyncio.get_running_loop().create_future()
        for step in (1, 2, 3, 1, 2):
            updates.put(progress(step), torch.tensor([float(step)]))
        asyncio.get_running_loop().call_later(0.01, job.set_result, None)
        found = await collected(updates, job)
        assert [(update.step, update.scores) for update in found] == [
            (1, [1.0]),
            (2, [2.0]),
            (3, [3.0]),
        ]
        assert not any(update.previews for update in found)

    run(scenario)


def test_a_slow_reader_gets_one_preview_at_a_time_and_no_more_updates_than_are_kept() -> None:
    async def scenario() -> None:
        updates, job = ProgressQueue(2), asyncio.get_running_loop().create_future()
        for step in (1, 2):
            updates.put(progress(step), torch.zeros(1))
        await asyncio.sleep(0)  # on the loop the first preview is now unsent
        for step in range(3, 60):
            updates.put(progress(step), torch.zeros(1))
        await asyncio.sleep(0)
        job.set_result(None)
        found = await collected(updates, job)
        assert [update.step for update in found] == list(range(1, MOST_UNSENT + 1))
        assert [update.step for update in found if update.previews] == [2]
        assert found[1].previews[0].tolist() == [[[5, 5], [5, 5]]]

    run(scenario)


def test_what_the_job_raises_is_raised() -> None:
    async def scenario() -> None:
        updates, job = ProgressQueue(0), asyncio.get_running_loop().create_future()
        job.set_exception(ArithmeticError("no"))
        with pytest.raises(ArithmeticError, match="no"):
            await collected(updates, job)

    run(scenario)
