"""One server for the tests of traces, and the spans of it and of its client."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace

import striate
from tests.extras.otel.toys_spans import Kept, hosting


@pytest.fixture(scope="session")
def keeping() -> Kept:
    """Where the spans of this process go: the client's go to OpenTelemetry's global provider, which
    can be set once.
    """
    kept = Kept()
    trace.set_tracer_provider(kept.provider)
    return kept


@pytest.fixture(scope="session")
def net(keeping: Kept, tmp_path_factory: pytest.TempPathFactory) -> Iterator[striate.Model]:
    with hosting(keeping, tmp_path_factory.mktemp("state")) as net:
        yield net


@pytest.fixture
def kept(keeping: Kept) -> Kept:
    """The spans of one test."""
    keeping.clear()
    return keeping
