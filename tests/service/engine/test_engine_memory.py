"""Too little memory: passes are halved, results stay right, and nothing is kept of jobs that are
over.
"""

import gc
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

import pytest
import torch

from interp.attack.base import attack
from interp.attack.pgd import pgd
from interp.network.network import Network
from interp.probe import Answer, Probe, Procedure, solve
from service.engine.job import OutOfMemory
from tests.interp.toys_networks import images, tricky
from tests.service.engine.toys_engine import WAIT, Model, Recorder, counted, held, running, steps


class Small:
    """A network on a device that holds so many rows at a time."""

    def __init__(self, network: Network, capacity: int, error: Callable[[], Exception]) -> None:
        self.network, self.capacity, self.error, self.shape = (
            network,
            capacity,
            error,
            network.shape,
        )

    def answer(self, probes: list[Probe]) -> list[Answer]:
        if sum(len(p.images) for p in probes) > self.capacity:
            raise self.error()
        return self.network.answer(probes)


ERRORS: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError,
    lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 8 bytes."
    ),
]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("capacity", [1, 5, 16])
def test_too_large_passes_are_halved_and_results_are_right(
    capacity: int, error: Callable[[], Exception]
) -> None:
    network = tricky()
    model = Model(cast(Network, Small(network, capacity, error)))
    jobs = [
        partial(attack, images(rows, seed=rows), None, pgd(steps=3), epsilon=0.02)
        for rows in (13, 1, 6)
    ]
    with running(tick_rows=64) as engine:
        with held(engine):
            futures = [engine.submit(model, job()) for job in jobs]
        results = [future.result(WAIT) for future in futures]
        assert counted(engine, "striate_out_of_memory_total") >= 1
    for found, job in zip(results, jobs, strict=True):
        torch.testing.assert_close(found.images, solve(job(), network).images, rtol=0, atol=1e-9)


def test_what_ran_out_of_memory_once_is_not_asked_for_at_once_again_and_comes_back_slowly() -> None:
    recorder = Recorder(capacity=20)
    with running(tick_rows=64) as engine:
        engine.submit(recorder.model, steps(1, 64, 3)).result(WAIT)
        assert recorder.refused[:2] == [64, 32]
        assert len(recorder.refused) <= 6
        assert sum(recorder.of(1)) == 3 * 64
        recorder.capacity = 64
        engine.submit(recorder.model, steps(2, 64, 40)).result(WAIT)
    assert recorder.of(2)[-1] == 64
    assert len(recorder.refused) <= 6


def test_another_network_is_not_held_back() -> None:
    small, large = Recorder(capacity=4), Recorder()
    with running(tick_rows=64) as engine:
        with held(engine):
            futures = [engine.submit(r.model, steps(1, 64, 2)) for r in (small, large)]
        for future in futures:
            future.result(WAIT)
    assert large.of(1) == [64, 64]


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_single_row_that_does_not_fit_fails_clearly_and_alone(deterministic: bool) -> None:
    none, some = Recorder(capacity=0), Recorder()
    with running(tick_rows=64, chunk=4) as engine:
        with held(engine):
            hopeless = [
                engine.submit(none.model, steps(tag, 13, 2), deterministic=deterministic)
                for tag in (1, 2)
            ]
            company = engine.submit(some.model, steps(3, 13, 2), deterministic=deterministic)
        for future in hopeless:
            with pytest.raises(OutOfMemory, match="does not fit into the device's memory"):
                future.result(WAIT)
        assert len(company.result(WAIT)) == 2


def test_deterministic_passes_that_do_not_fit_fail_instead_of_trying_for_ever() -> None:
    recorder = Recorder(capacity=3)
    with running(tick_rows=64, chunk=4) as engine:
        with pytest.raises(OutOfMemory):
            engine.submit(recorder.model, steps(1, 13, 1), deterministic=True).result(WAIT)
        assert len(engine.submit(recorder.model, steps(1, 3, 2)).result(WAIT)) == 2


def test_rows_that_must_stay_together_and_do_not_fit_fail_and_the_others_do_not() -> None:
    recorder = Recorder(capacity=6)
    with running(tick_rows=64) as engine:
        with held(engine):
            together = engine.submit(recorder.model, steps(1, 7, 2, splittable=False))
            fits = engine.submit(recorder.model, steps(2, 6, 2, splittable=False))
            others = engine.submit(recorder.model, steps(3, 20, 2))
        with pytest.raises(OutOfMemory, match="7 rows"):
            together.result(WAIT)
        assert len(fits.result(WAIT)) == 2
        assert len(others.result(WAIT)) == 2
    assert recorder.of(2) == [6, 6]


def test_a_procedure_that_runs_out_of_memory_itself_says_so() -> None:
    def greedy() -> Procedure[None]:
        yield Probe(torch.zeros(1, 1, 1, 2), logits=True)
        raise torch.OutOfMemoryError("too much")

    with running() as engine, pytest.raises(OutOfMemory, match="own state"):
        engine.submit(Recorder().model, greedy()).result(WAIT)


def test_the_estimate_of_a_model_bounds_its_passes() -> None:
    recorder = Recorder()
    with running(memory=2000, tick_rows=64) as engine:
        engine.submit(Model(cast(Network, recorder), bytes_per_row=100), steps(1, 25, 1)).result(
            WAIT
        )
    assert recorder.of(1) == [10, 10, 5]


# Nothing is kept


class Token:
    """What a job holds on to; its weak reference tells when the job is gone."""


def holding(token: Token, outcome: str) -> Procedure[Any]:
    for _ in range(2):
        answer = yield Probe(torch.zeros(2, 1, 1, 2), logits=True)
    if outcome == "raise":
        raise ValueError("on purpose")
    return token, answer


def burst(engine: Any, recorder: Recorder, count: int) -> list[weakref.ref[Token]]:
    """Run so many jobs and calls that end in every way; returns weak references to what
    they held.
    """
    tokens: list[weakref.ref[Token]] = []
    futures: list[Future[Any]] = []
    for number in range(count):
        token = Token()
        tokens.append(weakref.ref(token))
        outcome = ("return", "raise", "cancel", "call")[number % 4]
        if outcome == "call":
            futures.append(engine.run(lambda token=token: token))
        else:
            futures.append(
                engine.submit(
                    recorder.model,
                    holding(token, outcome),
                    on_progress=lambda _, __, token=token: None,
                )
            )
            if outcome == "cancel":
                futures[-1].cancel()
    for future in futures:
        if not future.cancelled():
            future.exception(WAIT)
    engine.run(lambda: None).result(WAIT)  # one turn more, for those cancelled last
    return tokens


def test_nothing_is_kept_of_jobs_that_are_over() -> None:
    recorder = Recorder()
    with running(queue_size=1000) as engine:
        burst(engine, recorder, 40)
        gc.collect()
        before = len(gc.get_objects())
        tokens = burst(engine, recorder, 500)
        engine.submit(recorder.model, steps(0, 1, 1)).result(WAIT)
        recorder.passes.clear()
        gc.collect()
        assert sum(token() is not None for token in tokens) == 0
        assert not engine._queue.jobs()
        tokens.clear()
        assert len(gc.get_objects()) < before + 250


def test_a_finished_job_is_gone_without_waiting_for_the_collector() -> None:
    recorder = Recorder()
    with running() as engine:
        gc.collect()
        gc.disable()
        try:
            token = Token()
            gone = weakref.ref(token)
            future: Future[Any] = engine.submit(recorder.model, holding(token, "return"))
            future.result(WAIT)
            del token, future
            engine.run(lambda: None).result(WAIT)
            assert gone() is None
        finally:
            gc.enable()


def test_the_result_of_a_call_is_not_kept() -> None:
    with running() as engine:
        token = Token()
        gone = weakref.ref(token)
        assert engine.run([token].pop).result(WAIT) is token
        del token
        limit = time.monotonic() + WAIT
        while (
            gone() is not None and time.monotonic() < limit
        ):  # until the engine is back at its rest
            gc.collect()
            time.sleep(0.01)
        assert gone() is None


def test_a_network_is_not_kept_alive_by_its_jobs() -> None:
    def used() -> weakref.ref[Recorder]:
        recorder = Recorder(capacity=3)
        engine.submit(recorder.model, steps(1, 8, 1)).result(WAIT)
        return weakref.ref(recorder)

    with running() as engine:
        gone = used()
        engine.run(lambda: None).result(WAIT)
        gc.collect()
        assert gone() is None
