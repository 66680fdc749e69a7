"""Ticks as events of their jobs, and as spans with links to all jobs that shared them; bounded."""

from itertools import chain

from opentelemetry.sdk.trace import ReadableSpan

from service.process.tracing import following
from service.process.tracing.job_spans import MOST_EVENTS, is_noted
from service.process.tracing.spans import SpanTrace
from tests.extras.otel.toys_spans import Kept
from tests.service.engine.toys_engine import WAIT, Recorder, held, running, steps


def trace_of(kept: Kept, name: str) -> SpanTrace:
    """A trace of a call that does not end."""
    tracer = kept.provider.get_tracer("tests")
    return SpanTrace(tracer.start_span(name), tracer, tracer)


def attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {})[name]


def test_a_tick_has_links_to_all_jobs_that_shared_it(kept: Kept) -> None:
    model = Recorder().model
    with running() as engine:
        with held(engine):
            futures = []
            for tag in (1, 2):
                with following(trace_of(kept, f"call {tag}")):
                    futures.append(engine.submit(model, steps(tag, tag, 2)))
            futures.append(engine.submit(model, steps(3, 1, 2)))  # of a call that is not traced
        for future in futures:
            future.result(WAIT)
    jobs = {attribute(job, "striate.rows"): job for job in kept.named("job", 2)}
    assert set(jobs) == {2, 4}
    for tick in kept.named("tick", 2):
        assert {link.context.span_id for link in tick.links} == {
            job.context.span_id for job in jobs.values()
        }
        assert (attribute(tick, "striate.rows"), attribute(tick, "striate.jobs")) == (4, 3)
    for job in jobs.values():
        assert [event.name for event in job.events] == ["tick", "tick"]
        assert (job.events[0].attributes or {})["striate.jobs"] == 3


def test_a_job_of_many_ticks_has_few_events_and_tells_their_number(kept: Kept) -> None:
    with running() as engine, following(trace_of(kept, "call")):
        engine.submit(Recorder().model, steps(1, 1, 500)).result(WAIT)
    (job,) = kept.named("job")
    assert attribute(job, "striate.ticks") == 500
    numbers = [(event.attributes or {})["striate.tick"] for event in job.events]
    spread = [range(1, 17), range(18, 33, 2), range(36, 65, 4), range(72, 129, 8)]
    spread += [range(144, 257, 16), range(288, 501, 32)]
    assert numbers == list(chain.from_iterable(spread))
    kept.named("tick", len(numbers))


def test_the_noted_ticks_of_the_longest_jobs_fit_into_a_span() -> None:
    assert sum(map(is_noted, range(1, 200_001))) <= MOST_EVENTS


def test_a_job_that_never_ran_is_its_queue_alone(kept: Kept) -> None:
    with running() as engine:
        with held(engine), following(trace_of(kept, "call")):
            future = engine.submit(Recorder().model, steps(1, 1, 2))
            future.cancel()
        (queue,) = kept.named("queue")
    assert attribute(queue, "striate.reason") == "cancelled"
    kept.named("job", 0)


def test_a_job_that_is_refused_ends(kept: Kept) -> None:
    with running(queue_size=0) as engine, following(trace_of(kept, "call")):
        try:
            engine.submit(Recorder().model, steps(1, 1, 2))
        except RuntimeError:
            (queue,) = kept.named("queue")
            assert attribute(queue, "striate.reason") == "refused"
        else:
            raise AssertionError("a queue of no places took a job")
