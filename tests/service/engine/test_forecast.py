"""Jobs that cannot meet their deadline are refused at once, and no others."""

import time

import pytest

from service.engine.engine import Engine
from service.engine.forecast import KNOWN_PASSES
from service.engine.job import Hopeless, Least
from service.engine.share import Share
from tests.service.engine.toys_engine import FIRST_PIXEL, WAIT, counted, forever, held, steps
from tests.service.engine.toys_shares import ANN, BEN, EVE, Timed, timed

ROW = 0.01  # seconds of the clock
SHAPE = (1, 1, 2)


def least(rows: int, count: int) -> Least:
    return Least(rows, count, frozenset(FIRST_PIXEL.layers), SHAPE)


def learnt(engine: Engine, recorder: Timed, rows: int = 1) -> None:
    """The engine has seen so many passes."""
    engine.submit(recorder.model, steps(1, rows, KNOWN_PASSES), share=ANN).result(WAIT)


def asked(engine: Engine, recorder: Timed, given: float, rows: int = 1, count: int = 1000) -> bool:
    """Whether a job of 10 seconds a row is taken that has so many to its deadline."""
    deadline = time.monotonic() + given
    try:
        job = engine.submit(
            recorder.model,
            forever(2, rows),
            share=ANN,
            deadline=deadline,
            least=least(rows, count),
        )
    except Hopeless:
        return False
    job.cancel()
    return True


def test_what_takes_ten_seconds_is_not_begun_with_four_and_is_with_eleven() -> None:
    with timed() as (engine, clock):
        recorder = Timed(clock, row=ROW)
        assert asked(engine, recorder, 0.1)  # nothing is known yet
        learnt(engine, recorder)
        with pytest.raises(Hopeless, match=r"at least 10\.0 s, and its deadline is in 4\.0 s"):
            engine.submit(
                recorder.model,
                steps(2, 1, 1000),
                share=ANN,
                deadline=time.monotonic() + 4,
                least=least(1, 1000),
            )
        assert asked(engine, recorder, 11)
        assert asked(engine, recorder, 0.1, count=1)
        assert counted(engine, "striate_jobs_total", reason="hopeless") == 1


def test_passes_of_other_sizes_layers_and_shapes_tell_nothing() -> None:
    with timed() as (engine, clock):
        recorder, other = Timed(clock, row=ROW), Timed(clock, row=ROW)
        learnt(engine, recorder, rows=8)
        assert asked(engine, recorder, 0.1, rows=1)  # a row among eight may cost less than alone
        assert asked(engine, other, 0.1, rows=8)
        assert not asked(engine, recorder, 0.1, rows=8)
        deadline = time.monotonic() + 0.1
        for unlike in (
            Least(8, 1000, frozenset(["elsewhere"]), SHAPE),
            Least(8, 1000, frozenset(FIRST_PIXEL.layers), (3, 64, 64)),
        ):
            engine.submit(
                recorder.model, steps(2, 8, 1), share=ANN, deadline=deadline, least=unlike
            )


def test_others_count_with_what_they_surely_want_and_no_more_than_their_turns() -> None:
    with timed() as (engine, clock):
        recorder = Timed(clock, row=ROW)
        learnt(engine, recorder)
        with held(engine):
            unknown = engine.submit(recorder.model, forever(3), share=BEN)
            assert asked(engine, recorder, 5.1)  # 10 s at the least
            short = engine.submit(
                recorder.model, steps(4, 1, 500), share=Share("short"), least=least(1, 500)
            )
            assert asked(engine, recorder, 7.6)  # 5 s more
            assert not asked(engine, recorder, 7.4)
            long = engine.submit(
                recorder.model, steps(5, 1, 10**5), share=EVE, least=least(1, 10**5)
            )
            assert asked(engine, recorder, 12.6)  # their turns are as long as one's own
            assert not asked(engine, recorder, 12.4)
            for job in (unknown, short, long):
                job.cancel()
