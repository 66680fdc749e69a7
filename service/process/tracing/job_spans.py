"""A job as spans: "queue" while it waits, "job" while it runs, with its ticks as events; and each
tick as a span of its own, linked to the jobs that shared it.
"""

import time
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, Status, StatusCode, Tracer

from service.process.tracing.steps import Attributes, JobTrace, Tick

MOST_EVENTS = 128  # of a span, and as many links: the SDK's own default
ALL_OF_FIRST = 16  # ticks are noted; then every 2nd up to 32, every 4th up to 64, and so on


def is_noted(tick: int) -> bool:
    """Choose the ticks of a job that are noted: so few of many that 200,000 fit into a span.

    Args:
        tick: its number among the job's, from 1.
    """
    stride = 1 << max(0, tick.bit_length() - ALL_OF_FIRST.bit_length() + 1)
    return tick < ALL_OF_FIRST or tick % stride == 0


class JobSpans:
    """The spans of one job. Told by the submitting thread until the job is in the queue, and by the
    engine's from then on.

    Args:
        tracer: makes the job's spans, below those of its call.
        ticks: makes the spans of ticks, each the root of a trace.
        parent: of the job's spans.
        attributes: of the job.
    """

    def __init__(
        self, tracer: Tracer, ticks: Tracer, parent: Context, attributes: Attributes
    ) -> None:
        self._tracer, self._tick_tracer, self._parent = tracer, ticks, parent
        self._attributes = attributes
        self._span: Span | None = tracer.start_span("queue", parent, attributes=attributes)
        self._runs = False
        self._ticks = self._rows = 0

    def admitted(self) -> None:
        """It has waited, and runs."""
        if self._span is not None:
            self._span.end()
            self._span = self._tracer.start_span("job", self._parent, attributes=self._attributes)
            self._runs = True

    def ticked(self, tick: Tick, shared: Mapping[JobTrace, int]) -> None:
        """Note a pass for all who shared it, unless each has had so many that it is left out."""
        present = {one: rows for one, rows in shared.items() if isinstance(one, JobSpans)}
        noting = [one for one, rows in present.items() if one._count(rows)]
        if not noting:
            return
        end = time.time_ns()
        spans = [one._span for one in present if one._span is not None and one._runs]
        about: Attributes = {
            "striate.tick": tick.number,
            "striate.model": tick.model,
            "striate.rows": tick.rows,
            "striate.jobs": tick.jobs,
        }
        span = self._tick_tracer.start_span(
            "tick",
            Context(),
            attributes=about,
            links=[Link(one.get_span_context()) for one in spans[:MOST_EVENTS]],
            start_time=end - round(tick.seconds * 1e9),
        )
        span.end(end)
        trace_id = f"{span.get_span_context().trace_id:032x}"
        for one in noting:
            one._note(tick, present[one], trace_id, end)

    def left(self, reason: str, error: BaseException | None = None) -> None:
        """End the span, with what the job had of the device."""
        span, self._span = self._span, None
        if span is None:
            return
        span.set_attributes(
            {
                "striate.reason": reason,
                "striate.ticks": self._ticks,
                "striate.rows": self._rows,
            }
        )
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        span.end()

    def _count(self, rows: int) -> bool:
        """Count a tick, and tell whether it is noted."""
        self._ticks += 1
        self._rows += rows
        return self._span is not None and self._runs and is_noted(self._ticks)

    def _note(self, tick: Tick, rows: int, trace_id: str, when: int) -> None:
        if self._span is not None:
            about = {
                "striate.tick": tick.number,
                "striate.rows": rows,
                "striate.jobs": tick.jobs,
                "striate.seconds": tick.seconds,
                "striate.tick.trace_id": trace_id,
            }
            self._span.add_event("tick", about, when)
