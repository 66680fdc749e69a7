"""The end of an engine: what is short finishes, what is not is told so, and no thread and no caller
is left.
"""

import threading
import time
from concurrent.futures import Future

import pytest

from service.engine.engine import Engine
from service.engine.job import Draining
from service.engine.metrics import Metrics
from tests.service.engine.toys_engine import WAIT, Recorder, forever, held, limits, running, steps


def test_closing_lets_jobs_finish_within_the_grace_and_takes_no_more() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def pause(passes: int) -> None:
        inside.set()
        assert go_on.wait(WAIT)

    recorder, engine = Recorder(before=pause), Engine(Metrics(), limits())
    future = engine.submit(recorder.model, steps(1, 1, 30))
    assert inside.wait(WAIT)
    closing = threading.Thread(target=engine.close, args=(WAIT,))
    closing.start()
    while engine._queue._open:
        time.sleep(0.001)
    with pytest.raises(Draining):
        engine.submit(recorder.model, steps(2, 1, 1))
    waiting = engine.run(lambda: "between ticks")  # what running jobs may still need
    go_on.set()
    assert len(future.result(WAIT)) == 30
    assert waiting.result(WAIT) == "between ticks"
    closing.join(WAIT)
    assert not closing.is_alive()
    with pytest.raises(Draining):
        engine.run(lambda: None)
    engine.close(0)  # once more does no harm


def test_closing_ends_what_does_not_finish() -> None:
    log: list[str] = []
    with running(memory=2) as engine, held(engine):
        endless = [
            engine.submit(Recorder().model, forever(tag)) for tag in (1, 2)
        ]  # one runs, one waits
        engine.submit(Recorder().model, steps(3, 1, 1, log=log))
    for future in endless:
        with pytest.raises(Draining):
            future.result(WAIT)


def test_calls_are_answered_or_refused_however_close_the_end() -> None:
    for _ in range(12):
        engine, futures = Engine(Metrics(), limits()), list[Future[int]]()

        def call(engine: Engine = engine, futures: list[Future[int]] = futures) -> None:
            while True:
                try:
                    futures.append(engine.run(lambda: 1))
                except Draining:
                    return

        caller = threading.Thread(target=call)
        caller.start()
        engine.close(0)
        caller.join(WAIT)
        assert all(future.result(WAIT) == 1 for future in futures)


def test_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    engines = [Engine(Metrics(), limits()) for _ in range(3)]
    for engine in engines:
        engine.submit(Recorder().model, steps(1, 1, 3)).result(WAIT)
        engine.close(WAIT)
    assert set(threading.enumerate()) == before
