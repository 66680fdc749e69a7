"""Traces are off by default: then OpenTelemetry is not imported, and nothing is made for them."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
import structlog

from service.process import tracing
from service.process.tracing.export import TracingUnusable, traces_to
from tests.service.engine.toys_engine import WAIT, Recorder, running, steps

MISSING = find_spec("opentelemetry") is None


def test_neither_side_imports_opentelemetry_by_itself() -> None:
    program = (
        "import sys, striate, service.server\n"
        "import service.process.tracing.export\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout == "[]\n", found.stderr


def test_where_nobody_asks_nothing_is_traced() -> None:
    assert traces_to("", "0", {}) is None
    assert tracing.begin_job() is None
    assert tracing.step("decode", images=1) is tracing.step("encode")
    with running() as engine:
        future = engine.submit(Recorder().model, steps(1, 1, 2))
        assert future.result(WAIT)
        assert not any(job.trace for job in (*engine.waiting(), *engine.running()))


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_TRACES_EXPORTER": "none"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        },
    ],
)
def test_the_environment_may_say_no(environment: dict[str, str]) -> None:
    assert traces_to("", "0", environment) is None


@pytest.mark.skipif(not MISSING, reason="OpenTelemetry is installed here")
def test_a_missing_package_ends_what_the_settings_ask_for_and_no_more() -> None:
    with pytest.raises(TracingUnusable, match=r"pip install ./clients '.\[otel\]'"):
        traces_to("http://localhost:1", "0", {})
    with structlog.testing.capture_logs() as log:
        asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}
        assert traces_to("", "0", asked) is None
    assert "pip install" in log[0]["why"]


@pytest.mark.skipif(not MISSING, reason="OpenTelemetry is installed here")
def test_a_server_that_cannot_trace_as_told_ends_with_a_sentence() -> None:
    program = "from service.__main__ import main; main()"
    flags = ("--otlp-endpoint", "http://localhost:1", "--port", "0")
    command = [sys.executable, "-c", program, *flags]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 2
    assert found.stderr.startswith("striate-server: traces are to be sent to http://localhost:1")
    assert "Traceback" not in found.stderr
