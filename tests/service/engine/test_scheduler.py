"""Who goes when: urgent before bulk, bulk in its share, everybody in turn; and the device to itself
for who needs it.
"""

import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest

from interp.probe import Procedure
from service.engine.engine import Engine
from service.engine.job import Job, Priority, QueueFull
from service.engine.scheduler import BATCH_TURN, OVERTAKEN_SECONDS, next_to_admit
from tests.service.engine.toys_engine import WAIT, Recorder, counted, forever, held, running, steps

BATCH, INTERACTIVE = Priority.BATCH, Priority.INTERACTIVE


def test_interactive_jobs_go_first_and_batch_jobs_keep_their_turns() -> None:
    recorder = Recorder()
    with running() as engine:
        with held(engine):
            bulk = engine.submit(recorder.model, steps(1, 5, 6), priority=BATCH)
            urgent = engine.submit(recorder.model, steps(2, 3, 8), priority=INTERACTIVE)
        urgent.result(WAIT)
        bulk.result(WAIT)
    alone, shared = {2: 3}, {1: 5, 2: 3}
    assert (
        recorder.passes == [alone, alone, alone, shared, alone, alone, alone, shared] + [{1: 5}] * 4
    )
    assert BATCH_TURN == 4


def test_a_batch_turn_is_for_batch_rows_first_and_what_is_left_over_for_others() -> None:
    recorder = Recorder()
    with running(tick_rows=4) as engine:
        with held(engine):
            futures: list[Future[Any]] = [
                engine.submit(recorder.model, steps(1, 20, 1), priority=BATCH)
            ]
            futures += [
                engine.submit(recorder.model, steps(2, 1, 17)),
                engine.submit(recorder.model, steps(3, 3, 1), priority=BATCH),
            ]
        for future in futures:
            future.result(WAIT)
    batch_turns = recorder.passes[3:16:4]
    assert batch_turns == [{1: 2, 3: 2}, {3: 1, 1: 3}, {1: 4}, {1: 4}]
    assert all(seen == {2: 1} for number, seen in enumerate(recorder.passes[:16], 1) if number % 4)


def order_of(recorder: Recorder) -> list[int]:
    return [tag for seen in recorder.passes for tag in seen]


def waiting(tag: int, priority: Priority = Priority.INTERACTIVE, memory: int = 0) -> Job[Any]:
    return Job(
        Recorder().model,
        steps(tag, 1, 1),
        memory,
        priority,
        float("inf"),
        False,
        None,
        submitted=time.monotonic() + tag,
    )


def test_admission_has_the_same_order_and_shares() -> None:
    jobs = {100 + n: waiting(100 + n, BATCH) for n in range(3)} | {n: waiting(n) for n in range(7)}
    order: list[int] = []
    while jobs:
        job = next_to_admit(jobs.values(), len(order), None)
        order.append(next(tag for tag, other in jobs.items() if other is job))
        del jobs[order[-1]]
    assert order == [0, 1, 2, 100, 3, 4, 5, 101, 6, 102]


def test_small_jobs_overtake_one_that_does_not_fit_but_not_for_ever() -> None:
    large, small = waiting(0, memory=10), waiting(1, memory=2)
    assert next_to_admit([large, small], 0, 10) is large
    assert next_to_admit([large, small], 0, 9) is small
    assert next_to_admit([large, small], 0, 1) is None
    large.submitted -= 2 * OVERTAKEN_SECONDS
    assert next_to_admit([large, small], 0, 9) is None
    assert next_to_admit([large, small], 0, None) is large


def test_jobs_are_let_in_by_the_memory_they_keep() -> None:
    recorder = Recorder()
    with running(memory=200) as engine:
        with held(engine):
            futures = [
                engine.submit(recorder.model, steps(tag, 1, 3), memory=memory)
                for tag, memory in [(1, 60), (2, 40), (3, 95)]
            ]
            with pytest.raises(QueueFull):
                engine.submit(recorder.model, steps(4, 1, 3), memory=6)
        for future in futures:
            future.result(WAIT)
    together = [set(seen) for seen in recorder.passes]
    assert together == [{1, 2}] * 3 + [{3}] * 3


def test_small_jobs_are_not_delayed_by_a_large_one_which_gets_what_is_left() -> None:
    recorder = Recorder()
    with running(tick_rows=16) as engine:
        with held(engine):
            large = engine.submit(recorder.model, steps(100, 100, 1))
            small = [engine.submit(recorder.model, steps(n, 1, 3)) for n in range(10)]
        for future in [large, *small]:
            future.result(WAIT)
    everyone = dict.fromkeys(range(10), 1) | {100: 6}
    assert recorder.passes == [everyone] * 3 + [{100: 16}] * 5 + [{100: 2}]


def test_large_jobs_share_evenly() -> None:
    recorder = Recorder()
    with running(tick_rows=10) as engine:
        with held(engine):
            futures = [engine.submit(recorder.model, steps(tag, 20, 2)) for tag in (1, 2)]
        for future in futures:
            future.result(WAIT)
    assert recorder.passes == [{1: 5, 2: 5}] * 8


def test_more_jobs_than_rows_take_turns() -> None:
    recorder = Recorder()
    with running(tick_rows=2) as engine:
        with held(engine):
            futures = [engine.submit(recorder.model, steps(tag, 1, 4)) for tag in range(6)]
        for future in futures:
            future.result(WAIT)
    served = order_of(recorder)
    assert [sorted(served[low : low + 6]) for low in range(0, 24, 6)] == [list(range(6))] * 4


def test_networks_take_turns() -> None:
    order: list[str] = []

    def named(name: str) -> Recorder:
        return Recorder(before=lambda passes: order.append(name))

    recorders = {name: named(name) for name in "ab"}
    with running() as engine:
        with held(engine):
            futures = [engine.submit(recorders[name].model, steps(1, 1, 5)) for name in "aab"]
        for future in futures:
            future.result(WAIT)
    assert "".join(order) == "ababababab"


def test_a_stream_of_newcomers_does_not_starve_who_is_there() -> None:
    recorder, chains = Recorder(), 3
    left, done = [60] * chains, [threading.Event() for _ in range(chains)]

    def follow(engine: Engine, chain: int) -> None:
        left[chain] -= 1
        if not left[chain]:
            done[chain].set()
            return
        engine.submit(recorder.model, steps(chain, 1, 1)).add_done_callback(
            lambda _: follow(engine, chain)
        )

    with running(tick_rows=1) as engine:
        with held(engine):
            for chain in range(chains):
                follow(engine, chain)
            long = engine.submit(recorder.model, steps(100, 1, 10))
        long.result(WAIT)
        assert all(event.wait(WAIT) for event in done)
    last = max(place for place, tag in enumerate(order_of(recorder)) if tag == 100)
    assert last < (chains + 1) * 10


def test_rows_that_must_stay_together_are_never_split() -> None:
    recorder, sizes = Recorder(), {1: 5, 2: 20, 3: 2, 4: 8}
    with running(tick_rows=8) as engine:
        with held(engine):
            futures = [
                engine.submit(recorder.model, steps(tag, rows, 4, splittable=False))
                for tag, rows in sizes.items()
            ]
            futures.append(engine.submit(recorder.model, steps(5, 30, 4)))
        for future in futures:
            future.result(WAIT)
    for tag, rows in sizes.items():
        assert recorder.of(tag) == [rows] * 4
    assert sum(recorder.of(5)) == 120
    assert all(sum(seen.values()) <= 8 or set(seen) == {2} for seen in recorder.passes)


def test_deterministic_jobs_share_in_whole_chunks_and_keep_to_themselves() -> None:
    recorder = Recorder()
    with running(tick_rows=14, chunk=4) as engine:
        with held(engine):
            futures = [
                engine.submit(recorder.model, steps(tag, rows, 2), deterministic=True)
                for tag, rows in [(1, 3), (2, 21), (3, 6)]
            ]
            futures.append(engine.submit(recorder.model, steps(4, 5, 2)))
        for future in futures:
            future.result(WAIT)
    chunked = [seen for seen in recorder.passes if 4 not in seen]
    assert all(
        sum(seen.values()) == 4 and len(seen) == 1 for seen in chunked
    )  # whole passes of one job, filled up with copies
    assert [sum(seen.values()) for seen in recorder.passes if 4 in seen] == [5, 5]
    assert len(chunked) == 2 * (1 + 6 + 2)
    for numbers, seen in zip(recorder.numbers, recorder.passes, strict=True):
        assert 4 in seen or numbers[0] % 4 == 0  # every row has its place in its chunk


# The queue


def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    recorder = Recorder()
    with running(queue_size=2) as engine:
        with held(engine):
            futures = [engine.submit(recorder.model, steps(tag, 1, 1)) for tag in (1, 2)]
            with pytest.raises(QueueFull, match="2 jobs are waiting") as caught:
                engine.submit(recorder.model, steps(3, 1, 1))
            assert caught.value.retry_after > 0
        for future in futures:
            future.result(WAIT)
        engine.submit(recorder.model, steps(4, 1, 1)).result(WAIT)
        assert counted(engine, "striate_refused_total") == 1
    assert recorder.of(3) == []


# Calls that need the device to themselves


def test_a_call_has_the_device_to_itself() -> None:
    busy, overlaps = threading.Event(), list[bool]()

    class Watched(Recorder):
        def answer(self, probes: Any) -> Any:
            busy.set()
            try:
                return super().answer(probes)
            finally:
                busy.clear()

    def look() -> threading.Thread:
        overlaps.append(busy.is_set())
        return threading.current_thread()

    with running() as engine:
        job = engine.submit(Watched().model, forever(1))
        threads = {engine.run(look).result(WAIT) for _ in range(50)}
        job.cancel()
    assert overlaps == [False] * 50
    assert threads == {engine._thread}
    assert threading.main_thread() not in threads


def test_a_call_passes_on_what_it_raises_and_may_be_cancelled() -> None:
    called: list[int] = []
    with running() as engine:
        with held(engine):
            broken, cancelled = engine.run(lambda: 1 / 0), engine.run(lambda: called.append(1))
            cancelled.cancel()
        with pytest.raises(ZeroDivisionError):
            broken.result(WAIT)
        assert engine.run(lambda: "fine").result(WAIT) == "fine"
    assert called == []


def test_calls_do_not_wait_for_jobs_to_end() -> None:
    with running() as engine:
        jobs: list[Future[Any]] = [engine.submit(Recorder().model, endless()) for _ in range(3)]
        assert engine.run(lambda: 7).result(WAIT) == 7
        assert not any(job.done() for job in jobs)


def endless() -> Procedure[None]:
    yield from forever(1)
