"""A procedure on its way through the engine, and what can become of it."""

import math
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from interp.network.network import Network
from interp.probe import Answer, Probe, Procedure, StepProgress
from service.engine.share import OWN, Account, Share
from service.process.tracing import JobTrace

T = TypeVar("T")
OnProgress = Callable[[StepProgress, Tensor], None]


class Priority(Enum):
    """Interactive jobs go first; batch jobs lead every fourth tick."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class QueueFull(RuntimeError):
    """No more jobs are taken at present; `retry_after` is a guess in seconds."""

    def __init__(self, waiting: int, retry_after: float) -> None:
        super().__init__(
            f"{waiting} jobs are waiting already; try again in about {retry_after:.1f} s"
        )
        self.retry_after = retry_after


class Draining(RuntimeError):
    """The engine is shutting down and takes no more jobs."""


class Expired(RuntimeError):
    """The job's deadline passed before it was finished."""


class Hopeless(Expired):
    """The job cannot be finished before its deadline, and is not begun.

    Attributes:
        facts: the seconds that it takes at the least, and those that it was given, for programs.
    """

    def __init__(self, takes: float, given: float) -> None:
        super().__init__(
            f"at the present load it takes at least {takes:.1f} s, and its deadline is in "
            f"{given:.1f} s: give it more time, or ask for less"
        )
        self.facts = {"takes_seconds": f"{takes:.1f}", "given_seconds": f"{given:.1f}"}


class NotFinite(ArithmeticError):
    """The network gave scores, gradients or logits that are infinite or not numbers.

    Attributes:
        row: of the images that were asked about; None where it is not known, or not an image.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class OutOfMemory(RuntimeError):
    """Not even one row, or not the rows that have to stay together, fit into the device's
    memory.
    """


class Hosted(Protocol):
    """What the engine needs to know of a model."""

    @property
    def name(self) -> str: ...

    @property
    def network(self) -> Network: ...

    @property
    def bytes_per_row(self) -> int:
        """Memory of one image's forward and backward pass, at the network's input size."""
        ...


@dataclass(frozen=True)
class Least:
    """What a job asks of the device at the least: gradients of rows, one step after another.

    Attributes:
        rows: of each step.
        steps: how many there are.
        layers: whose values are scored.
        shape: (C, H, W) of its images.
    """

    rows: int
    steps: int
    layers: frozenset[str]
    shape: tuple[int, ...]


@dataclass(eq=False)
class Job(Generic[T]):
    """A procedure on its way through the engine; cancel it by cancelling `future`."""

    model: Hosted
    procedure: Procedure[T]
    memory: int  # bytes that it holds between ticks
    priority: Priority
    deadline: float  # time.monotonic()
    deterministic: bool
    on_progress: OnProgress | None
    share: Share = OWN  # whose it is
    least: Least | None = None  # that it asks for; None: nothing is known of it
    had: int = 0  # rows with gradients that were answered
    account: Account | None = None  # of the share, once it is in an engine's queue
    trace: JobTrace | None = None  # hears how it gets on, where its call is traced
    future: "Future[T]" = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)
    admitted: bool = False
    probe: Probe | None = None
    answers: list[Answer] = field(default_factory=list)  # to the first rows of `probe`
    answered: int = 0  # how many rows of `probe` these are
    last_tick: int = 0  # that answered rows of it, or the one before it was admitted

    @property
    def waited(self) -> float:
        """Seconds since it was submitted."""
        return time.monotonic() - self.submitted

    @property
    def pending(self) -> int:
        """Rows of the present probe that wait for an answer."""
        return 0 if self.probe is None else len(self.probe.images) - self.answered

    @property
    def splittable(self) -> bool:
        """Whether rows of the present probe may be answered in separate passes."""
        return self.probe is None or self.probe.splittable

    @property
    def row_bytes(self) -> int:
        """Memory of one row's pass: the model's at its own input size, scaled to the size of the
        probe's images.
        """
        pixels = (
            math.prod(self.model.network.shape)
            if self.probe is None
            else self.probe.images[:1].numel()
        )
        return max(1, self.model.bytes_per_row * pixels // math.prod(self.model.network.shape))

    def batch_key(self) -> tuple[object, ...]:
        """Return what jobs that can share a pass have in common: network, image shape and whether
        they are deterministic.
        """
        assert self.probe is not None
        return id(self.model.network), self.probe.images.shape[1:], self.deterministic

    @property
    def policy(self) -> tuple[bool, bool]:
        """What rows of one sweep through the network have in common beside the batch key: whether
        there is a backward pass, and whether it is redirected.
        """
        assert self.probe is not None
        return self.probe.differentiates, self.probe.differentiates and self.probe.redirect

    @property
    def kind(self) -> Hashable:
        """What the cost of a row depends on, beside the network."""
        probe = self.probe
        assert probe is not None
        layers = {*probe.layers, *(probe.objective.layers if probe.objective else ())}
        shape = probe.images.shape[1:]
        return shape, self.deterministic, self.policy, probe.logits, frozenset(layers)


@dataclass(frozen=True, eq=False)
class RowRange:
    """The rows `start` to `stop` - 1 of a job's probe, which one tick answers."""

    job: Job[Any]
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start
