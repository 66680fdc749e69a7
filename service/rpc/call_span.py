"""What every call gets, from its begin to its end: a request id, a log line, metrics, a span, and
an error from the one table.
"""

import asyncio
import time
import uuid
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message

from service.auth import identity
from service.auth.access_log import AccessLog
from service.engine.metrics import Metrics
from service.process.tracing import TracedCall, Traces
from service.process.tracing.steps import present
from service.rpc import errors
from service.rpc.context import VERSION, Context, caller, peer, request_id
from service.rpc.doors.named import named

log = structlog.get_logger("striate")
# In every answer, also of services that have no provenance.
_TRAILER = (("x-striate-version", VERSION),)
_QUIET = ("/grpc.health.", "/grpc.reflection.")  # probed every few seconds: counted, not logged
# Asked again about every second by everyone who waits for an operation.
_REPEATED = "/google.longrunning.Operations/WaitOperation"

# What is not the request's own fault.
_REFUSALS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
}


class CallSpan:
    """The time from the begin of one call to its end: gives it a request id, times it, traces it,
    logs how it ended, and turns exceptions into statuses.
    """

    def __init__(
        self,
        metrics: Metrics,
        method: str,
        context: Context,
        access_log: AccessLog | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._metrics, self._method, self._context = metrics, method, context
        self._access_log, self._named = access_log, dict[str, list[str]]()
        self._traces = None if method.startswith(_QUIET) else traces
        self._traced: TracedCall | None = None

    def note(self, message: Any) -> None:
        """Note what a request or a response names."""
        if self._access_log is not None and isinstance(message, Message):
            for kind, names in named(message).items():
                self._named.setdefault(kind, []).extend(names)

    async def __aenter__(self) -> "CallSpan":
        sent = dict(self._context.invocation_metadata() or ())
        self._id = str(sent.get("x-request-id", ""))[:64] or uuid.uuid4().hex
        request_id.set(self._id)
        ids = {"request_id": self._id}
        if self._traces is not None:
            self._traced = self._traces.call(self._method, sent)
            present.set(self._traced.trace)
            ids |= self._traced.ids
        structlog.contextvars.bind_contextvars(**ids)  # for all log lines of the call
        caller.set(object())  # the id is the caller's choice, and may be another call's too
        # Now: when a call has ended, asking gRPC for its peer ends the process.
        peer.set(self._context.peer())
        self._started = time.monotonic()
        self._context.set_trailing_metadata(_TRAILER)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        if isinstance(error, GeneratorExit | asyncio.CancelledError):
            self._end("CANCELLED", None)
        elif isinstance(error, grpc.aio.AbortError):
            self._end(str(self._context.code() or "ABORTED"), error)
        elif isinstance(error, NotImplementedError) and self._is_missing():
            self._end(grpc.StatusCode.UNIMPLEMENTED.name, error)
            await refuse_unknown(self._method, self._context)
        elif error is not None:
            row = errors.row_of(error)
            if row.code in _REFUSALS:
                self._metrics.refusals.labels(row.reason_name).inc()
            self._end(row.code.name, error)
            await errors.abort(self._context, error, self._id, _TRAILER)
        else:
            self._end("OK", None)

    def _is_missing(self) -> bool:
        """Whether the method is one of a standard service that its library leaves out: generated
        code sets the status, and raises.
        """
        return bool(self._context.code() == grpc.StatusCode.UNIMPLEMENTED)

    def _end(self, code: str, error: BaseException | None) -> None:
        """Count and time the call, and log it."""
        seconds = time.monotonic() - self._started
        self._metrics.requests.labels(self._method, code).inc()
        name = self._metrics.identity(identity.current.get().name)
        self._metrics.requests_by_identity.labels(name, code).inc()
        self._metrics.request_seconds.labels(self._method).observe(seconds)
        self._end_trace(code, error)
        call: dict[str, Any] = {
            "method": self._method,
            "code": code,
            "seconds": round(seconds, 4),
            "request_id": self._id,
        }
        self._tell_access_log(call)
        if code == "INTERNAL":
            log.error("call", **call, exc_info=error)
        elif not self._method.startswith(_QUIET):
            tell = log.debug if self._method == _REPEATED and not error else log.info
            tell("call", **call, **({"error": str(error)} if error else {}))

    def _tell_access_log(self, call: dict[str, Any]) -> None:
        """Who did what; probes that are answered are left out."""
        probe = self._method.startswith("/grpc.health.") and call["code"] == "OK"
        if self._access_log is None or probe:
            return
        who = identity.current.get()
        role = None if who.role is None else who.role.name.lower()
        about = {"identity": who.name, "role": role, "peer": peer.get()}
        self._access_log.write({**about, **call, **self._named})

    def _end_trace(self, code: str, error: BaseException | None) -> None:
        if self._traced is not None:
            unknown = grpc.StatusCode.UNKNOWN
            about: dict[str, str | int] = {
                "striate.request_id": self._id,
                "rpc.grpc.status_code": grpc.StatusCode.__members__.get(code, unknown).value[0],
            }
            if name := identity.current.get().name:
                about["enduser.id"] = name
            self._traced.end(code, error, about)


async def refuse_unknown(method: str, context: Context) -> None:
    """Refuse a call of a method that this server does not have, naming its version.

    Args:
        method: its full name.
        context: of the call.
    """
    message = f"this server, version {VERSION}, has no method {method[:200]}"
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, message, _TRAILER)
