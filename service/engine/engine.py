"""Continuous batching of gradient iterations: one thread a device answers the probes of all running
jobs, tick by tick.

A tick evicts what was cancelled or ran out of time, admits what waits, answers the pending rows of
jobs that share a network and an image shape in one pass, and resumes every job whose probe is
answered. A job that has finished leaves at the tick, a new one joins at the next.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import structlog
import torch
from torch import Tensor

from interp.network.network import Network
from interp.probe import Answer, Procedure
from interp.rows import Chunks, cut, join
from service.engine.job import (
    Draining,
    Expired,
    Hosted,
    Job,
    NotFinite,
    OnProgress,
    OutOfMemory,
    Piece,
    Priority,
    QueueFull,
)
from service.engine.metrics import Metrics
from service.engine.scheduler import first_in, leader, shares

T = TypeVar("T")

log = structlog.get_logger("striate")


class Engine:
    """The one owner of a device.

    Args:
        tick_rows: most rows of a pass.
        memory: bytes that the running jobs and a pass may take together; at least one job always
            runs.
        queue_size: jobs that may wait for admission.
        chunk: rows of a deterministic pass.
        threads: torch's CPU threads; 0 leaves torch's default.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        tick_rows: int = 64,
        memory: int = 2**31,
        queue_size: int = 256,
        chunk: int = 8,
        threads: int = 0,
    ) -> None:
        self._metrics, self.tick_rows, self.memory, self.chunk = metrics, tick_rows, memory, chunk
        self._queue_size, self.threads = queue_size, threads
        self._waiting: deque[Job[Any]] = deque()
        self._running: list[Job[Any]] = []
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._limits: WeakKeyDictionary[Network, int] = (
            WeakKeyDictionary()
        )  # rows of a pass, after it ran out of memory
        self._wake = threading.Condition()
        self._open = True
        self._stopped = False
        self.ticks = 0
        self._admitted = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(
        self,
        model: Hosted,
        procedure: Procedure[T],
        *,
        memory: int = 0,
        priority: Priority = Priority.INTERACTIVE,
        deadline: float | None = None,
        deterministic: bool = False,
        on_progress: OnProgress | None = None,
    ) -> "Future[T]":
        """Queue a procedure; the future gives its result, and cancelling it frees its rows at the
        next tick.

        Args:
            memory: bytes that it holds between ticks, for admission.
            deadline: as `time.monotonic()`; past it the future raises `Expired`.
            on_progress: called on the engine's thread with each answered probe's progress and
                scores (B,).

        Raises:
            QueueFull: `queue_size` jobs wait already, or so many that they hold more than all
                memory for jobs.
            Draining: the engine is being closed.
        """
        job = Job(
            model,
            procedure,
            memory,
            priority,
            float("inf") if deadline is None else deadline,
            deterministic,
            on_progress,
        )
        with self._wake:
            if not self._open:
                raise Draining("the server is shutting down")
            held = sum(job.memory for job in self._waiting)
            if len(self._waiting) >= self._queue_size or (
                self._waiting and held + memory > self.memory
            ):
                self._metrics.refused.inc()
                raise QueueFull(len(self._waiting), self._metrics.recent_wait())
            self._waiting.append(job)
            self._wake.notify()
        return job.future

    def run(self, call: Callable[[], T]) -> "Future[T]":
        """Queue a call that needs the device to itself, between two ticks."""
        future: Future[T] = Future()
        with self._wake:
            if self._stopped:
                raise Draining("the server is shutting down")
            self._calls.append((call, future))
            self._wake.notify()
        return future

    def close(self, grace: float) -> None:
        """Take no more jobs, give those at hand `grace` seconds to finish, end the rest with
        `Draining`, stop the thread.
        """
        with self._wake:
            self._open = False
        limit = time.monotonic() + grace
        while self._busy() and time.monotonic() < limit:
            time.sleep(0.02)
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join()

    def _busy(self) -> bool:
        with self._wake:
            return bool(self._waiting or self._running)

    # What follows runs on the engine's thread.

    def _run(self) -> None:
        if self.threads:
            torch.set_num_threads(self.threads)
        # On a GPU, too, a convolution gives the same bits for the same pass, and those of full
        # float32.
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        while True:
            with self._wake:
                self._wake.wait_for(
                    lambda: self._stopped or self._calls or self._waiting or self._running
                )
                calls, self._calls, stopped = self._calls, deque(), self._stopped
            if calls:
                self._evict()  # a call may want the memory of a job that was cancelled
            while calls:
                _settle(*calls.popleft())
            if stopped:
                break
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - a defect of the engine itself must leave nobody waiting for ever
                self._end(error)
        self._end(Draining("the server is shutting down"))

    def _turn(self) -> None:
        self._evict()
        self._admit()
        if any(job.pending for job in self._running):
            self._tick()

    def _end(self, error: Exception) -> None:
        with self._wake:
            jobs = (*self._running, *self._waiting)
        for job in jobs:
            self._fail(job, error)

    def _evict(self) -> None:
        now = time.monotonic()
        with self._wake:
            jobs = (*self._running, *self._waiting)
        for job in jobs:
            if job.future.cancelled():
                self._leave(job, "cancelled")
                job.future.set_running_or_notify_cancel()
            elif now > job.deadline:
                self._fail(
                    job, Expired("the deadline passed before the job was finished"), "expired"
                )

    def _admit(self) -> None:
        while self._waiting:
            with self._wake:
                free = self.memory // 2 - sum(job.memory for job in self._running)
                job = first_in(self._waiting, self._admitted, free if self._running else None)
                if job is None:
                    break
                self._waiting.remove(job)
                self._running.append(job)
            self._admitted += 1
            job.served = (
                self.ticks
            )  # it takes its place behind those that have waited for a turn longer
            self._metrics.waited(time.monotonic() - job.submitted)
            self._resume(job, None)

    def _tick(self) -> None:
        self.ticks += 1
        started = time.monotonic()
        leading = leader(self._running, self.ticks)
        pieces = shares(self._running, leading, self._limit(leading), self.chunk)
        self._answer(pieces)
        self._metrics.tick_seconds.observe(time.monotonic() - started)
        self._metrics.tick_rows.observe(sum(p.high - p.low for p in pieces))
        for job in dict.fromkeys(p.job for p in pieces):
            if job in self._running and job.probe is not None and not job.pending:
                self._report(job)

    def _limit(self, leading: Job[Any]) -> int:
        by_memory = max(1, self.memory // 2 // leading.row_bytes)
        return min(
            self.tick_rows, by_memory, self._limits.get(leading.model.network, self.tick_rows)
        )

    def _answer(self, pieces: list[Piece]) -> None:
        """Answer in one pass; what goes wrong in company is tried alone, so that only the one at
        fault fails.
        """
        network = pieces[0].job.model.network
        oracle = Chunks(network, self.chunk) if pieces[0].job.deterministic else network
        try:
            answers = oracle.answer(
                [cut(p.job.probe, p.low, p.high) for p in pieces if p.job.probe is not None]
            )
        except Exception as error:  # noqa: BLE001 - whatever a job's objective raises is the job's
            if _out_of_memory(error):
                self._halve(pieces)
            elif len(pieces) == 1:
                self._fail(pieces[0].job, error)
            else:
                for piece in pieces:
                    self._answer([piece])
            return
        self._recover(network)
        for piece, answer in zip(pieces, answers, strict=True):
            if piece.job.probe is not None and piece.job.probe.finite and not _finite(answer):
                self._fail(
                    piece.job, NotFinite("the network gave values that are infinite or not numbers")
                )
            else:
                piece.job.answers.append(answer)
                piece.job.answered = piece.high
                piece.job.served = self.ticks

    def _halve(self, pieces: list[Piece]) -> None:
        rows = sum(p.high - p.low for p in pieces)
        self._metrics.out_of_memory.inc()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        job = pieces[0].job
        smallest = self.chunk if job.deterministic else 1
        if len(pieces) == 1 and (rows <= smallest or not job.splittable):
            self._fail(
                job,
                OutOfMemory(
                    f"a pass of {rows} rows, which cannot be split, does not fit into the "
                    f"device's memory"
                ),
            )
        self._limits[job.model.network] = max(1, rows // 2)

    def _recover(self, network: Network) -> None:
        limit = self._limits.pop(network, self.tick_rows)
        limit += max(1, limit // 16)
        if limit < self.tick_rows:
            self._limits[network] = limit

    def _report(self, job: Job[Any]) -> None:
        """All rows of a probe are answered: tell how far the job is, and resume it."""
        answer, probe = join(job.answers), job.probe
        job.probe, job.answers, job.answered = None, [], 0
        try:
            if (
                job.on_progress is not None
                and probe is not None
                and probe.progress is not None
                and answer.score is not None
            ):
                job.on_progress(probe.progress, answer.score)
        except Exception as error:  # noqa: BLE001 - whatever a job's listener raises is the job's
            self._fail(job, error)
        else:
            self._resume(job, answer)

    def _resume(self, job: Job[Any], answer: Answer | None) -> None:
        try:
            job.probe = next(job.procedure) if answer is None else job.procedure.send(answer)
            while not len(job.probe.images):  # nothing to ask
                job.probe = job.procedure.send(Answer())
        except StopIteration as stop:
            self._leave(job, "finished")
            if job.future.set_running_or_notify_cancel():
                job.future.set_result(stop.value)
        except Exception as error:  # noqa: BLE001 - whatever a procedure raises is its caller's
            self._fail(
                job,
                OutOfMemory("the job's own state does not fit into memory")
                if _out_of_memory(error)
                else error,
            )

    def _fail(self, job: Job[Any], error: Exception, reason: str = "failed") -> None:
        self._leave(job, reason)
        if job.future.set_running_or_notify_cancel():
            job.future.set_exception(error)

    def _leave(self, job: Job[Any], reason: str) -> None:
        self._metrics.evictions.labels(reason).inc()
        with self._wake:
            for place in (self._running, self._waiting):
                if job in place:
                    place.remove(job)
        job.probe, job.answers = None, []
        try:
            job.procedure.close()
        except Exception as error:  # noqa: BLE001 - it was told to end, and its caller has its verdict already
            log.warning("a procedure did not close", error=str(error), kind=type(error).__name__)


def _settle(call: Callable[[], T], future: "Future[T]") -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, not to this thread
            future.set_exception(error)


def _finite(answer: Answer) -> bool:
    return all(
        t is None or _all_finite(t)
        for t in (answer.score, answer.grad, answer.logits, *answer.activations.values())
    )


def _all_finite(values: Tensor) -> bool:
    """A finite sum has finite terms alone, and is had much sooner than a look at each; a sum that
    is not may have overflowed.
    """
    return math.isfinite(values.sum().item()) or bool(values.isfinite().all())


def _out_of_memory(error: Exception) -> bool:
    return isinstance(
        error, torch.OutOfMemoryError | MemoryError
    ) or "can't allocate memory" in str(error)
