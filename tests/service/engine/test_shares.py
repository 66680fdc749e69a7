"""Several callers on one engine: each has its share of the device, whoever else wants how much."""

import time
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.probe import solve
from service.engine.costs import AS_CHEAP, PASS_SECONDS
from service.engine.job import Priority, QueueFull
from service.engine.share import Share
from tests.interp.toys_networks import tricky
from tests.service.engine.toys_engine import WAIT, Model, forever, held, steps
from tests.service.engine.toys_jobs import JOBS, same
from tests.service.engine.toys_shares import ANN, BEN, EVE, Timed, timed


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.tuples(st.sampled_from([1.0, 2.0, 3.0]), st.integers(1, 40), st.floats(0.002, 0.02)),
        min_size=2,
        max_size=4,
    )
)
def test_shares_of_several_networks_get_what_an_ideal_device_gives_but_for_a_pass(
    wants: list[tuple[float, int, float]],
) -> None:
    with timed() as (engine, clock):
        recorders = [Timed(clock, row=row) for _, _, row in wants]
        with held(engine):
            jobs: list[Future[Any]] = [
                engine.submit(recorder.model, forever(1, rows), share=Share(str(place), weight))
                for place, (recorder, (weight, rows, _)) in enumerate(
                    zip(recorders, wants, strict=True)
                )
            ]
        while clock.now < 4:
            time.sleep(0.001)
        for job in jobs:
            job.cancel()
    passes = sorted(
        (end, place) for place, recorder in enumerate(recorders) for end in recorder.ended
    )
    had, longest = [0.0] * len(wants), 0.0
    previous, weights = 0.0, [weight for weight, _, _ in wants]
    for end, place in passes:
        if end > 4:
            break
        had[place] += end - previous
        longest, previous = max(longest, end - previous), end
        for weight, seconds in zip(weights, had, strict=True):
            assert abs(seconds / weight - end / sum(weights)) <= longest / min(weights) + 1e-9


def test_one_row_beside_five_hundred_jobs_takes_twice_as_long_as_alone_and_a_pass() -> None:
    row, count = 0.04, 10
    with timed(queue_size=600) as (engine, clock):
        recorder, other = Timed(clock, row=row), Timed(clock, row=row)
        with held(engine):
            crowd = [engine.submit(recorder.model, forever(1, 8), share=ANN) for _ in range(500)]
            one = engine.submit(recorder.model, steps(2, 1, count), share=BEN)
            apart = engine.submit(other.model, steps(3, 1, count), share=EVE)
        for future in (one, apart):
            future.result(WAIT)
        for job in crowd:
            job.cancel()
    last = max(place for place, seen in enumerate(recorder.passes) if 2 in seen)
    # a third of the device each, and the passes that are under way or not known yet
    assert recorder.ended[last] <= 3 * count * row + 4 * PASS_SECONDS + 8 * row
    assert other.ended[-1] <= 3 * count * row + 4 * PASS_SECONDS + 8 * row


def test_passes_are_shared_by_jobs_that_can_be_batched() -> None:
    with timed() as (engine, clock):
        recorder = Timed(clock, first=0.01, row=0.001)
        with held(engine):
            futures = [
                engine.submit(recorder.model, steps(tag, 3, 20), share=share)
                for tag, share in ((1, ANN), (2, BEN), (3, EVE))
            ]
        for future in futures:
            future.result(WAIT)
    assert all(set(seen) == {1, 2, 3} for seen in recorder.passes[5:15])


def test_a_pass_of_few_rows_is_not_drawn_out_by_its_company() -> None:
    with timed() as (engine, clock):
        recorder = Timed(clock, row=0.01)
        with held(engine):
            bulk = engine.submit(recorder.model, forever(1, 64), share=ANN)
            engine.submit(recorder.model, steps(2, 1, 50), share=BEN)
            last = engine.submit(recorder.model, steps(3, 2, 50), share=EVE)
        last.result(WAIT)
        bulk.cancel()
    shared = [seen for seen in recorder.passes[20:] if 2 in seen and 1 in seen]
    assert all(sum(seen.values()) <= 9 for seen in shared)


def test_alone_passes_are_as_large_as_ever_and_in_company_as_large_as_pays() -> None:
    with timed() as (engine, clock):
        recorder = Timed(clock, first=0.02, row=0.001)
        with held(engine):
            alone = engine.submit(recorder.model, steps(1, 64, 3), share=ANN)
        alone.result(WAIT)
        assert recorder.passes == [{1: 64}] * 3
        with held(engine):
            futures = [
                engine.submit(recorder.model, steps(tag, 64, 60), share=share)
                for tag, share in ((1, ANN), (2, BEN))
            ]
        for future in futures:
            future.result(WAIT)
    sizes = [sum(seen.values()) for seen in recorder.passes]
    assert sizes.count(64) >= 0.95 * len(sizes)  # a smaller one is tried now and then
    with timed() as (engine, clock):
        recorder = Timed(clock, row=0.03)
        with held(engine):
            futures = [
                engine.submit(recorder.model, steps(tag, 64, 4), share=share)
                for tag, share in ((1, ANN), (2, BEN))
            ]
        for future in futures:
            future.result(WAIT)
    assert max(sum(seen.values()) for seen in recorder.passes) <= 8
    assert all(sum(seen.values()) * 0.03 <= PASS_SECONDS for seen in recorder.passes[1:])
    assert AS_CHEAP < 1.1


def test_interactive_jobs_go_first_within_a_share_only() -> None:
    with timed(tick_rows=1) as (engine, clock):
        recorder = Timed(clock)
        with held(engine):
            futures = [
                engine.submit(recorder.model, steps(1, 1, 30), share=ANN),
                engine.submit(recorder.model, steps(2, 1, 30), share=BEN, priority=Priority.BATCH),
                engine.submit(recorder.model, steps(3, 1, 30), share=BEN),
            ]
        for future in futures:
            future.result(WAIT)
    both = [tag for seen in recorder.passes[:40] for tag in seen]
    assert both.count(1) == 20
    assert both.count(2) == 5


def test_results_do_not_depend_on_whose_jobs_share_a_pass() -> None:
    network = tricky()
    model = Model(network)
    for deterministic in (False, True):
        with timed(chunk=4) as (engine, _):
            with held(engine):
                futures = [
                    engine.submit(
                        model, job(), deterministic=deterministic, share=Share(str(n % 3))
                    )
                    for n, job in enumerate(JOBS * 2)
                ]
            for future, job in zip(futures, JOBS * 2, strict=True):
                same(future.result(WAIT), solve(job(), network))


# The queue


def test_who_fills_the_queue_does_not_keep_others_out() -> None:
    with timed(queue_size=16) as (engine, clock):
        recorder = Timed(clock)
        with held(engine):
            futures = [engine.submit(recorder.model, steps(1, 1, 1), share=ANN) for _ in range(16)]
            with pytest.raises(QueueFull):
                engine.submit(recorder.model, steps(1, 1, 1), share=ANN)
            futures += [engine.submit(recorder.model, steps(2, 1, 1), share=BEN) for _ in range(2)]
            with pytest.raises(QueueFull):  # an eighth is kept for each of the others
                engine.submit(recorder.model, steps(2, 1, 1), share=BEN)
            futures += [
                engine.submit(recorder.model, steps(3, 1, 1), share=Share(f"other {n}"))
                for n in range(14)
            ]
            with pytest.raises(QueueFull):  # but not without end
                engine.submit(recorder.model, steps(3, 1, 1), share=EVE)
        for future in futures:
            future.result(WAIT)


def test_who_fills_the_memory_does_not_keep_others_waiting() -> None:
    with timed(memory=1600) as (engine, clock):
        recorder = Timed(clock)
        with held(engine):
            crowd = [
                engine.submit(recorder.model, forever(1), memory=100, share=ANN) for _ in range(16)
            ]
            with pytest.raises(QueueFull):
                engine.submit(recorder.model, steps(1, 1, 1), memory=100, share=ANN)
            one = engine.submit(recorder.model, steps(2, 1, 3), memory=100, share=BEN)
        one.result(WAIT)
        assert max(recorder.of(1)) <= 8
        assert not any(job.done() for job in crowd)
        for job in crowd:
            job.cancel()


def test_memory_that_gets_free_goes_to_whom_had_least() -> None:
    with timed(memory=200) as (engine, clock):
        recorder = Timed(clock)
        with held(engine):
            futures = [
                engine.submit(recorder.model, steps(tag, 1, 4), memory=memory, share=share)
                for tag, share, memory in (
                    (1, ANN, 100),
                    (1, ANN, 20),
                    (1, ANN, 20),
                    (2, BEN, 30),
                    (2, BEN, 30),
                )
            ]
        for future in futures:
            future.result(WAIT)
    order = [tag for seen in recorder.passes for tag in seen]
    assert order[:4] == [1] * 4
    assert 2 in recorder.passes[4]


# Calls


def test_calls_of_one_do_not_keep_the_jobs_of_others_waiting() -> None:
    with timed() as (engine, clock):
        recorder, ended = Timed(clock, row=0.1), list[float]()

        def call() -> None:
            clock.now += 1.0
            ended.append(clock.now)

        with held(engine):
            calls = [engine.run(call, ANN) for _ in range(10)]
            job = engine.submit(recorder.model, steps(2, 1, 30), share=BEN)
        job.result(WAIT)
        for future in calls:
            future.result(WAIT)
    assert recorder.ended[-1] <= 3 + 4
    assert ended[-1] <= 10 + 3 + 1e-6


def test_the_servers_own_calls_go_at_once() -> None:
    with timed() as (engine, clock):
        recorder, seen = Timed(clock), list[int]()
        with held(engine):
            futures: list[Future[Any]] = [
                engine.submit(recorder.model, steps(1, 1, 5), share=share) for share in (ANN, BEN)
            ]
            futures += [engine.run(lambda: seen.append(len(recorder.passes))) for _ in range(5)]
        for future in futures:
            future.result(WAIT)
    assert seen == [0] * 5
