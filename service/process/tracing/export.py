"""Where traces are sent: a receiver of OTLP over gRPC, named by the settings or by OpenTelemetry's
own environment variables.
"""

import logging
import os
import uuid
from collections.abc import Mapping
from importlib import import_module

import structlog

from service.process.packages import extra
from service.process.tracing.steps import Traces

log = structlog.get_logger("striate")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
MOST_TEXT = 8192  # characters of an attribute, such as the traceback of an exception
_PACKAGES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.grpc.trace_exporter")


class TracingUnusable(RuntimeError):
    """Traces are asked for, and the packages that send them are not installed."""


def traces_to(
    endpoint: str, version: str, environment: Mapping[str, str] = os.environ
) -> Traces | None:
    """Find out where traces go, and begin to send them there.

    Args:
        endpoint: of the settings, e.g. "http://localhost:4317"; "": what the environment says.
        version: of the service.
        environment: variables; those of OpenTelemetry that are not read here, such as
            OTEL_TRACES_SAMPLER and OTEL_RESOURCE_ATTRIBUTES, are read by its SDK.

    Returns:
        The traces; None where nobody asks for them.

    Raises:
        TracingUnusable: the settings ask for them, and packages are missing. Where the environment
            does, which may have been set for other programs, a warning is logged.
    """
    found = endpoint or _of_environment(environment)
    if not found:
        return None
    try:
        for package in _PACKAGES:
            import_module(package)
    except ModuleNotFoundError as error:
        message = (
            f"traces are to be sent to {found}, and {error.name} is missing: {extra('otel')}, or "
            f"name no receiver (otlp_endpoint, {_ENDPOINTS[1]})"
        )
        if endpoint:
            raise TracingUnusable(message) from error
        log.warning("no traces", why=message)
        return None
    return _sending_to(found, version, environment)


def _of_environment(environment: Mapping[str, str]) -> str:
    """The receiver that the environment names for programs that send by gRPC."""
    asked = next((environment[name] for name in _ENDPOINTS if environment.get(name)), "")
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not asked or off or environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return ""
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "grpc")
    if protocol != "grpc":
        log.warning("no traces", why=f"they are sent by gRPC alone, and {asked} is for {protocol}")
        return ""
    return asked


def _sending_to(endpoint: str, version: str, environment: Mapping[str, str]) -> Traces:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    from service.process.tracing.spans import SpanTraces

    _tell_in_our_log("opentelemetry")
    about = {"service.version": version, "service.instance.id": str(uuid.uuid4())}
    if not environment.get("OTEL_SERVICE_NAME"):
        about[SERVICE_NAME] = "striate-server"
    resource, limits = Resource.create(about), SpanLimits(max_attribute_length=MOST_TEXT)
    calls = TracerProvider(resource=resource, span_limits=limits, shutdown_on_exit=False)
    ticks = TracerProvider(ALWAYS_ON, resource, span_limits=limits, shutdown_on_exit=False)
    processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))
    for provider in (calls, ticks):
        provider.add_span_processor(processor)
    log.info("traces are sent", to=endpoint)
    return SpanTraces(calls, ticks, version)


def _tell_in_our_log(name: str) -> None:
    """Have a library's warnings be lines of the server's log."""

    class ToOurLog(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.warning("tracing", what=record.getMessage())

    logger = logging.getLogger(name)
    logger.propagate = False
    logger.handlers = [ToOurLog(logging.WARNING)]
