"""Spans that are kept in memory, and a server of this process whose spans they are."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from torch import nn

import striate
from service import server as server_module
from service.process.tracing.spans import SpanTraces

SIZE = 32


class Kept:
    """Spans that have ended, in memory.

    Attributes:
        provider: whose spans are kept.
    """

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = SpanTraces(self.provider, self.provider, "0")

    def clear(self) -> None:
        """Forget all of them."""
        self._exporter.clear()

    def named(self, name: str, number: int = 1) -> list[ReadableSpan]:
        """Wait for spans of a name, oldest first; fail where there are not so many in the end."""
        limit = time.monotonic() + 30
        while True:
            found = [s for s in self._exporter.get_finished_spans() if s.name == name]
            if len(found) >= number or time.monotonic() > limit:
                assert len(found) == number, [s.name for s in self._exporter.get_finished_spans()]
                return sorted(found, key=lambda span: span.start_time or 0)
            time.sleep(0.01)

    def all(self) -> list[ReadableSpan]:
        """All that have ended."""
        return list(self._exporter.get_finished_spans())


def parent(span: ReadableSpan) -> int:
    """The id of a span's parent; 0 for a root."""
    return span.parent.span_id if span.parent is not None else 0


def below(span: ReadableSpan, spans: list[ReadableSpan]) -> list[str]:
    """Names of the spans right below one, oldest first."""
    found = [one for one in spans if parent(one) == span.context.span_id]
    assert all(one.context.trace_id == span.context.trace_id for one in found)
    return [one.name for one in sorted(found, key=lambda one: one.start_time or 0)]


@contextmanager
def hosting(kept: Kept, folder: Path) -> Iterator[striate.Model]:
    """A small network, served in this process by a server whose spans are kept."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (SIZE - 2) ** 2, 10)
    )
    with patch.object(server_module, "traces_to", lambda *_: kept.traces):
        yield striate.host(
            module, size=SIZE, mean=[0.5], std=[0.5], name="toy", state_dir=folder, threads=1
        )
