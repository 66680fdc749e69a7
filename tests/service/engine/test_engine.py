"""Jobs in company: right results, cancellation and deadlines."""

import threading
import time
from concurrent.futures import CancelledError, Future, wait
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from interp.attack.base import attack
from interp.attack.pgd import pgd
from interp.probe import Probe, Procedure, StepProgress, solve
from service.engine.job import Expired, Priority
from tests.interp.toys_networks import images, tricky
from tests.service.engine.toys_engine import (
    WAIT,
    Model,
    Recorder,
    counted,
    forever,
    held,
    running,
    steps,
)
from tests.service.engine.toys_jobs import JOBS, same


@pytest.mark.parametrize("tick_rows", [1, 7, 64])
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_job_in_company_gets_what_it_gets_alone(tick_rows: int, deterministic: bool) -> None:
    network = tricky()
    model = Model(network)
    with running(tick_rows=tick_rows, chunk=4) as engine:
        with held(engine):
            futures = [engine.submit(model, job(), deterministic=deterministic) for job in JOBS]
            futures += [
                engine.submit(model, job(), deterministic=deterministic, priority=Priority.BATCH)
                for job in JOBS
            ]
        results = [future.result(WAIT) for future in futures]
    for result, job in zip(results, JOBS + JOBS, strict=True):
        same(result, solve(job(), network))


def test_jobs_of_several_networks_and_shapes_run_beside_each_other() -> None:
    networks = [tricky(), tricky(seed=1)]
    jobs = [
        (n, partial(attack, images(3, size), None, pgd(steps=4), epsilon=0.02))
        for n in networks
        for size in (8, 12)
    ]
    with running() as engine:
        with held(engine):
            futures = [engine.submit(Model(network), job()) for network, job in jobs]
        results = [future.result(WAIT) for future in futures]
    for result, (network, job) in zip(results, jobs, strict=True):
        same(result, solve(job(), network))


def test_progress_is_told_step_by_step() -> None:
    recorder, told = Recorder(), list[tuple[int, int, list[float]]]()

    def listen(progress: StepProgress, scores: Tensor) -> None:
        told.append((progress.step, progress.steps, scores.tolist()))

    with running(tick_rows=2) as engine:
        engine.submit(recorder.model, steps(7, 3, 4), on_progress=listen).result(WAIT)
    assert told == [(step, 4, [7.0] * 3) for step in range(1, 5)]


def test_a_procedure_without_questions_and_one_with_an_empty_probe() -> None:
    def silent() -> Procedure[str]:
        return "nothing"
        yield Probe(torch.empty(0, 1, 1, 1))

    def empty() -> Procedure[str]:
        answer = yield Probe(torch.empty(0, 1, 1, 1))
        return f"{answer.score}"

    with running() as engine:
        assert engine.submit(Recorder().model, silent()).result(WAIT) == "nothing"
        assert engine.submit(Recorder().model, empty()).result(WAIT) == "None"


# Cancellation and deadlines


def test_a_cancelled_job_has_no_rows_in_the_next_tick() -> None:
    recorder, log = Recorder(), list[str]()
    futures: list[Future[Any]] = []

    def listen(progress: StepProgress, _: Tensor) -> None:
        if progress.step == 3:
            assert futures[0].cancel()

    with running() as engine:
        with held(engine):
            futures.append(
                engine.submit(recorder.model, steps(1, 4, 1000, log=log), on_progress=listen)
            )
            company = engine.submit(recorder.model, steps(2, 2, 20))
        assert len(company.result(WAIT)) == 20
        with pytest.raises(CancelledError):
            futures[0].result(WAIT)
        assert wait(futures, WAIT).not_done == set()  # also for those who wait for several
        assert counted(engine, "striate_jobs_total", reason="cancelled") == 1
    assert recorder.of(1) == [4] * 3
    assert recorder.of(2) == [2] * 20
    assert log == ["1 closed"]


def test_a_job_cancelled_from_outside_ends_with_the_pass_that_runs() -> None:
    inside, cancelled = threading.Event(), threading.Event()

    def pause(passes: int) -> None:
        if passes == 3:
            inside.set()
            assert cancelled.wait(WAIT)

    recorder = Recorder(before=pause)
    with running() as engine:
        with held(engine):
            future = engine.submit(recorder.model, forever(1))
            company = engine.submit(recorder.model, steps(2, 1, 10))
        assert inside.wait(WAIT)
        future.cancel()
        cancelled.set()
        company.result(WAIT)
    assert recorder.of(1) == [1] * 3


def test_a_job_cancelled_before_its_turn_never_starts() -> None:
    recorder, log = Recorder(), list[str]()
    with running() as engine:
        with held(engine):
            future = engine.submit(recorder.model, steps(1, 1, 1, log=log))
            future.cancel()
        engine.submit(recorder.model, steps(2, 1, 1)).result(WAIT)
        assert wait([future], WAIT).not_done == set()
    assert recorder.of(1) == []


@pytest.mark.parametrize("seconds", [-1.0, 0.3])
def test_a_job_ends_with_its_deadline(seconds: float) -> None:
    deadline = time.monotonic() + seconds

    def pause(passes: int) -> None:
        while passes == 3 and time.monotonic() <= deadline:
            time.sleep(0.01)

    recorder = Recorder(before=pause)
    with running() as engine:
        with held(engine):
            late = engine.submit(recorder.model, forever(1), deadline=deadline)
            company = engine.submit(recorder.model, steps(2, 1, 10))
        with pytest.raises(Expired):
            late.result(WAIT)
        assert len(company.result(WAIT)) == 10
        assert len(recorder.of(1)) <= (3 if seconds > 0 else 0)
        reasons = [
            counted(engine, "striate_jobs_total", reason=reason)
            for reason in ("expired", "failed", "cancelled")
        ]
        assert reasons == [1, 0, 0]
