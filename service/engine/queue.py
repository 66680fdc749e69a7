"""What an engine has taken on: the jobs that wait and run, and the calls that want the device."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from service.engine.job import Draining, Job, QueueFull
from service.engine.limits import EngineLimits
from service.engine.metrics import Metrics
from service.engine.scheduler import next_to_admit

T = TypeVar("T")
Call = tuple[Callable[[], Any], "Future[Any]"]  # a call for the device, and where its result goes


class JobQueue:
    """The jobs and calls of one engine. Any thread may put some in; the engine's thread takes them
    out.

    Attributes:
        running: jobs that have been admitted; changed by the engine's thread alone.
    """

    def __init__(self, limits: EngineLimits, metrics: Metrics) -> None:
        """Make an empty queue that is open.

        Args:
            limits: memory and queue size are held here.
            metrics: counts those that are refused.
        """
        self._limits, self._metrics = limits, metrics
        self._waiting: deque[Job[Any]] = deque()
        self.running: list[Job[Any]] = []
        self._calls: deque[Call] = deque()
        self._changed = threading.Condition()
        self._open = True
        self._stopped = False
        self._admitted = 0

    def put(self, job: Job[Any]) -> None:
        """Let a job wait for admission.

        Args:
            job: not submitted before.

        Raises:
            QueueFull: too many wait, or those that wait hold more than all memory for jobs.
            Draining: the queue is closed.
        """
        with self._changed:
            if not self._open:
                raise Draining("the server is shutting down")
            held = sum(other.memory for other in self._waiting)
            if len(self._waiting) >= self._limits.queue_size or (
                self._waiting and held + job.memory > self._limits.memory
            ):
                self._metrics.refused.inc()
                raise QueueFull(len(self._waiting), self._metrics.recent_wait())
            self._waiting.append(job)
            self._changed.notify()

    def put_call(self, call: Callable[[], T]) -> "Future[T]":
        """Let a call wait for the device.

        Args:
            call: run on the engine's thread, between two ticks.

        Returns:
            The future of its result.

        Raises:
            Draining: the engine has stopped.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._stopped:
                raise Draining("the server is shutting down")
            self._calls.append((call, future))
            self._changed.notify()
        return future

    def wait(self) -> tuple[deque[Call], bool]:
        """Wait until there is something to do.

        Returns:
            The calls that have come, which leave the queue, and whether to stop.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopped or self._calls or self._waiting or self.running
            )
            calls, self._calls = self._calls, deque()
            return calls, self._stopped

    def admit(self) -> Job[Any] | None:
        """Move the waiting job whose turn it is to the running ones.

        Returns:
            The job; None where none waits, or none fits into the memory that is free.
        """
        if not self._waiting:
            return None
        with self._changed:
            free = self._limits.memory // 2 - sum(job.memory for job in self.running)
            job = next_to_admit(self._waiting, self._admitted, free if self.running else None)
            if job is not None:
                self._waiting.remove(job)
                self.running.append(job)
                self._admitted += 1
        return job

    def jobs(self) -> tuple[Job[Any], ...]:
        """Return all jobs, running ones first."""
        with self._changed:
            return *self.running, *self._waiting

    def remove(self, job: Job[Any]) -> None:
        """Let go of a job, wherever it is.

        Args:
            job: one that runs, waits, or is not here any more.
        """
        with self._changed:
            for place in (self.running, self._waiting):
                if job in place:
                    place.remove(job)

    @property
    def busy(self) -> bool:
        """Whether any job waits or runs."""
        return bool(self.jobs())

    def close(self) -> None:
        """Take no more jobs; calls are still taken."""
        with self._changed:
            self._open = False

    def stop(self) -> None:
        """Take no more calls either, and have `wait` tell the engine's thread to stop."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
