"""What the parts of the server say of their work, for whoever traces it."""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class Tick:
    """A pass of the device, that several jobs may have shared.

    Attributes:
        number: of the engine's ticks.
        model: that was asked.
        rows: of the pass.
        jobs: that shared it.
        seconds: that it took.
    """

    number: int
    model: str
    rows: int
    jobs: int
    seconds: float


class JobTrace(Protocol):
    """Hears of one job on its way through the engine. After `left` nothing has an effect."""

    def admitted(self) -> None:
        """It has waited, and runs."""

    def ticked(self, tick: Tick, shared: "Mapping[JobTrace, int]") -> None:
        """Note a pass that has ended, for all who shared it: told to one of them.

        Args:
            tick: the pass.
            shared: the jobs that are traced, and the rows of each.
        """

    def left(self, reason: str, error: BaseException | None = None) -> None:
        """It has ended.

        Args:
            reason: a word.
            error: that its caller gets.
        """


class Trace(Protocol):
    """Takes note of the steps of one call or operation. May be used from any thread."""

    def step(self, name: str, attributes: Attributes) -> AbstractContextManager[None]:
        """Note that a step lasts as long as the context."""

    def job(self, attributes: Attributes) -> JobTrace | None:
        """Note that a job waits for the device; None where enough has been noted already."""


class TracedCall(Protocol):
    """A call that is traced."""

    @property
    def trace(self) -> Trace | None:
        """Takes note of its steps; None where only its ids are of use, for it was not chosen."""

    @property
    def ids(self) -> Mapping[str, str]:
        """The "trace_id" and "span_id", for log lines."""

    def end(self, code: str, error: BaseException | None, attributes: Attributes) -> None:
        """Note how the call ended.

        Args:
            code: name of its gRPC status code.
            error: why it was not answered; None where it was, or was cancelled.
            attributes: more about it.
        """


class Traces(Protocol):
    """Where traces go."""

    def call(self, method: str, metadata: Mapping[str, str | bytes]) -> TracedCall:
        """Begin the span of a call, below the caller's own if the metadata names one.

        Args:
            method: its full name, with the slash in front.
            metadata: that came with it.
        """

    def operation(self, kind: str, name: str) -> AbstractContextManager[None]:
        """Begin a trace of an operation, which outlives the call that started it, with a link to
        that call. Steps and jobs inside the context belong to it.
        """

    def close(self) -> None:
        """Send what has not been sent. Blocks for some seconds where nobody receives it."""


present: ContextVar[Trace | None] = ContextVar("trace", default=None)
_NOTHING = contextlib.nullcontext()


def step(name: str, **attributes: str | int | float | bool) -> AbstractContextManager[None]:
    """Note a step of the present call or operation; nothing where it is not traced.

    Args:
        name: of the step, in a word or two.
        attributes: more about it.

    Returns:
        A context that lasts as long as the step.
    """
    trace = present.get()
    return _NOTHING if trace is None else trace.step(name, attributes)


def begin_job(**attributes: str | int | float | bool) -> JobTrace | None:
    """Note that a job of the present call or operation waits for the device.

    Args:
        attributes: about the job.

    Returns:
        What is told how it goes on; None where it is not traced.
    """
    trace = present.get()
    return None if trace is None else trace.job(attributes)


def untraced(kind: str, name: str) -> AbstractContextManager[None]:
    """Stand in for `Traces.operation` where nothing is traced."""
    return _NOTHING


@contextlib.contextmanager
def following(trace: Trace | None) -> Iterator[None]:
    """Let the steps inside the context belong to a trace.

    Args:
        trace: theirs; None: they are not traced.
    """
    token = present.set(trace)
    try:
        yield
    finally:
        present.reset(token)
