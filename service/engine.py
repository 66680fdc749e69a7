"""Continuous batching of gradient iterations: one thread a device answers the probes of all running jobs, tick by tick.

A tick evicts what was cancelled or ran out of time, admits what waits, answers the pending rows of jobs that share a
network and an image shape in one pass, and resumes every job whose probe is answered. A job that has finished leaves at the
tick, a new one joins at the next.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import torch

from interp.ascent import Answer, Procedure
from interp.network import Network
from interp.rows import Chunks, cut, join
from service.jobs import Draining, Expired, Hosted, Job, NotFinite, OnProgress, OutOfMemory, Piece, Priority, QueueFull
from service.metrics import Metrics



T = TypeVar("T")

BATCH_TURN = 4  # every so many ticks a batch job leads although interactive ones wait


class Engine:
    """The one owner of a device.

    Args:
        tick_rows: most rows of a pass.
        memory: bytes that the running jobs and a pass may take together; at least one job always runs.
        queue_size: jobs that may wait for admission.
        chunk: rows of a deterministic pass.
        threads: torch's CPU threads; 0 leaves torch's default.
    """

    def __init__(
        self, metrics: Metrics, *, tick_rows: int = 64, memory: int = 2**31, queue_size: int = 256, chunk: int = 8, threads: int = 0
    ) -> None:
        self._metrics, self._tick_rows, self._memory, self._chunk = metrics, tick_rows, memory, chunk
        self._queue_size, self._threads = queue_size, threads
        self._waiting: deque[Job[Any]] = deque()
        self._running: list[Job[Any]] = []
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._limits: dict[int, int] = {}  # rows of a pass, by network, after it ran out of memory
        self._wake = threading.Condition()
        self._open = True
        self._stopped = False
        self.ticks = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(
        self,
        model: Hosted,
        procedure: Procedure[T],
        *,
        rows: int = 1,
        priority: Priority = Priority.INTERACTIVE,
        deadline: float | None = None,
        deterministic: bool = False,
        on_progress: OnProgress | None = None,
    ) -> "Future[T]":
        """Queue a procedure; the future gives its result, and cancelling it frees its rows at the next tick.

        Args:
            rows: images that it keeps, for admission.
            deadline: as `time.monotonic()`; past it the future raises `Expired`.
            on_progress: called on the engine's thread with each answered probe's progress and scores (B,).

        Raises:
            QueueFull: `queue_size` jobs wait already.
            Draining: the engine is being closed.
        """
        job = Job(model, procedure, rows, priority, float("inf") if deadline is None else deadline, deterministic, on_progress)
        with self._wake:
            if not self._open:
                raise Draining("the server is shutting down")
            if len(self._waiting) >= self._queue_size:
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
        """Take no more jobs, give those at hand `grace` seconds to finish, end the rest with `Draining`, stop the thread."""
        with self._wake:
            self._open = False
        limit = time.monotonic() + grace
        while (self._waiting or self._running) and time.monotonic() < limit:
            time.sleep(0.02)
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join()

    # What follows runs on the engine's thread.

    def _run(self) -> None:
        if self._threads:
            torch.set_num_threads(self._threads)
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopped or self._calls or self._waiting or self._running)
                calls, self._calls = self._calls, deque()
            for call, future in calls:
                _settle(future, call)
            if self._stopped:
                break
            self._evict()
            self._admit()
            if any(job.pending for job in self._running):
                self._tick()
        for job in (*self._running, *self._waiting):
            self._fail(job, Draining("the server is shutting down"))

    def _evict(self) -> None:
        now = time.monotonic()
        with self._wake:
            jobs = (*self._running, *self._waiting)
        for job in jobs:
            if job.future.cancelled():
                self._leave(job, "cancelled")
            elif now > job.deadline:
                self._metrics.evictions.labels("expired").inc()
                self._fail(job, Expired("the deadline passed before the job was finished"))

    def _admit(self) -> None:
        held = sum(job.memory for job in self._running)
        while self._waiting and (not self._running or held + self._waiting[0].memory <= self._memory // 2):
            with self._wake:
                job = min(self._waiting, key=lambda j: (j.priority is not Priority.INTERACTIVE, j.submitted))
                self._waiting.remove(job)
            held += job.memory
            self._running.append(job)
            self._metrics.waited(time.monotonic() - job.submitted)
            self._resume(job, None)

    def _tick(self) -> None:
        self.ticks += 1
        started = time.monotonic()
        pieces = self._choose()
        self._answer(pieces)
        self._metrics.tick_seconds.observe(time.monotonic() - started)
        self._metrics.tick_rows.observe(sum(p.high - p.low for p in pieces))
        for job in dict.fromkeys(p.job for p in pieces):
            if job in self._running and job.probe is not None and not job.pending:
                self._report(job)

    def _choose(self) -> list[Piece]:
        """The rows of the next pass: the leader's and those of its company, shared out evenly up to the limit."""
        ready = [job for job in self._running if job.pending]
        interactive = [job for job in ready if job.priority is Priority.INTERACTIVE]
        batch = [job for job in ready if job.priority is Priority.BATCH]
        batch_leads = bool(batch) and (not interactive or self.ticks % BATCH_TURN == 0)
        leader = min(batch if batch_leads else interactive, key=lambda job: job.served)
        space = self._limit(leader)
        pieces = []
        if not leader.splittable:
            pieces.append(Piece(leader, 0, leader.pending))
            space -= leader.pending
        # Batch rows would slow an interactive pass down, while interactive rows are welcome in a batch pass.
        for crowd in (batch, interactive) if batch_leads else (interactive,):
            company = [job for job in crowd if job.company() == leader.company() and (job is not leader or job.splittable)]
            company = sorted(company, key=lambda job: job.served)[: max(0, space)]
            company.sort(key=lambda job: job.pending)  # small jobs first: what they leave over is shared by the large
            for place, job in enumerate(company):
                share = min(job.pending, space // (len(company) - place))
                if job.splittable or share == job.pending:
                    pieces.append(Piece(job, job.answered, job.answered + share))
                    space -= share
        return pieces

    def _limit(self, leader: Job[Any]) -> int:
        by_memory = max(1, self._memory // 2 // max(1, leader.model.bytes_per_row))
        return min(self._tick_rows, by_memory, self._limits.get(id(leader.model.network), self._tick_rows))

    def _answer(self, pieces: list[Piece]) -> None:
        """Answer in one pass; what goes wrong in company is tried alone, so that only the one at fault fails."""
        network = pieces[0].job.model.network
        oracle = Chunks(network, self._chunk) if pieces[0].job.deterministic else network
        probes = [cut(p.job.probe, p.low, p.high) for p in pieces if p.job.probe is not None]
        try:
            answers = oracle.answer(probes)
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
            if not _finite(answer):
                self._fail(piece.job, NotFinite("the network gave a score or gradient that is infinite or not a number"))
            else:
                piece.job.answers.append(answer)
                piece.job.answered = piece.high
                piece.job.served = self.ticks

    def _halve(self, pieces: list[Piece]) -> None:
        rows = sum(p.high - p.low for p in pieces)
        self._metrics.out_of_memory.inc()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(pieces) == 1 and (rows == 1 or not pieces[0].job.splittable):
            self._fail(pieces[0].job, OutOfMemory(f"{rows} rows that cannot be split do not fit into the device's memory"))
        self._limits[id(pieces[0].job.model.network)] = max(1, rows // 2)

    def _recover(self, network: Network) -> None:
        limit = self._limits.get(id(network))
        if limit is not None:
            self._limits[id(network)] = limit + max(1, limit // 16)
            if self._limits[id(network)] >= self._tick_rows:
                del self._limits[id(network)]

    def _report(self, job: Job[Any]) -> None:
        """All rows of a probe are answered: tell how far the job is, and resume it."""
        answer, probe = join(job.answers), job.probe
        job.probe, job.answers, job.answered = None, [], 0
        if job.on_progress is not None and probe is not None and probe.progress is not None and answer.score is not None:
            job.on_progress(probe.progress, answer.score)
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
            self._fail(job, OutOfMemory("the job's own state does not fit into memory") if _out_of_memory(error) else error)

    def _fail(self, job: Job[Any], error: Exception) -> None:
        self._leave(job, "failed")
        if job.future.set_running_or_notify_cancel():
            job.future.set_exception(error)

    def _leave(self, job: Job[Any], reason: str) -> None:
        self._metrics.evictions.labels(reason).inc()
        with self._wake:
            for place in (self._running, self._waiting):
                if job in place:
                    place.remove(job)
        job.probe, job.answers = None, []
        job.procedure.close()


def _settle(future: "Future[T]", call: Callable[[], T]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, not to this thread
            future.set_exception(error)


def _finite(answer: Answer) -> bool:
    return all(t is None or bool(torch.isfinite(t).all()) for t in (answer.score, answer.grad))


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
