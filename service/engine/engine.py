"""Continuous batching of gradient iterations: one thread a device answers the probes of all running
jobs, tick by tick.

A tick evicts what was cancelled or ran out of time, admits what waits, answers the pending rows of
jobs that share a network and an image shape in one pass, and resumes every job whose probe is
answered. A job that has finished leaves at the tick, a new one joins at the next.

Whoever has had least of the device's time by their weight leads the next pass (see
`service.engine.ledger`), and passes are short while several want it: see
`service.engine.fair_pass`.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog
import torch

from interp.probe import Answer, Procedure
from interp.rows import join
from service.engine.activity import Activity
from service.engine.costs import Costs
from service.engine.fair_pass import fair_rows
from service.engine.forecast import TRUST, Forecast
from service.engine.job import (
    Draining,
    Expired,
    Hopeless,
    Hosted,
    Job,
    Least,
    OnProgress,
    OutOfMemory,
    Priority,
    RowRange,
)
from service.engine.limits import EngineLimits
from service.engine.metrics import Metrics
from service.engine.passes import PassRows, is_out_of_memory, not_finite, run_pass
from service.engine.queue import JobQueue
from service.engine.scheduler import choose_leader, share_rows
from service.engine.share import OWN, Account, Share, ShareUse
from service.process.tracing import Tick, begin_job

T = TypeVar("T")

log = structlog.get_logger("striate")

ADMISSION_SECONDS = 0.02  # of a tick that jobs may begin in, while several shares want the device


class Engine:
    """The one owner of a device. Its public methods may be called from any thread.

    Attributes:
        limits: how much it takes on at a time.
        ticks: passes so far.
        activity: what its thread does just now.
    """

    def __init__(
        self,
        metrics: Metrics,
        limits: EngineLimits,
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[str, int], None] = lambda key, gradients: None,
    ) -> None:
        """Start the engine's thread.

        Args:
            metrics: of the server; the engine counts its jobs and times its passes there.
            limits: how much it takes on at a time.
            clock: tells the seconds by which passes are measured.
            spent: told, on the engine's thread, how many image gradients the share of a key has
                had.
        """
        self.limits, self.ticks, self.activity = limits, 0, Activity()
        self._metrics, self._clock, self._costs = metrics, clock, Costs()
        self._spent, self._forecast = spent, Forecast(limits.tick_rows)
        self._queue = JobQueue(limits, metrics)
        self._pass_rows = PassRows(limits)
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
        share: Share = OWN,
        least: Least | None = None,
    ) -> "Future[T]":
        """Queue a procedure.

        Args:
            model: answers its probes.
            procedure: not begun; it runs on the engine's thread.
            memory: bytes that it holds between ticks, for admission.
            priority: interactive jobs go before batch jobs of the same share.
            deadline: as `time.monotonic()`; past it the future raises `Expired`. None: no deadline.
            deterministic: whether its answers must not depend on who shares a pass, at the cost of
                passes of `limits.chunk` rows.
            on_progress: called on the engine's thread with each answered probe's progress and
                scores (B,).
            share: whose turn it takes.
            least: what it asks for at the least, if that is known.

        Returns:
            The future of what the procedure returns; cancelling it frees its rows at the next tick.

        Raises:
            QueueFull: `limits.queue_size` jobs wait already, or so many that they hold more than
                all memory for jobs, and the share has its part of what is kept for others.
            Hopeless: it cannot be finished before the deadline.
            Draining: the engine is being closed.
        """
        deadline = float("inf") if deadline is None else deadline
        job = Job(
            model, procedure, memory, priority, deadline, deterministic, on_progress, share, least
        )
        self._require_hope(job)
        job.trace = begin_job(**{"striate.model": model.name, "striate.priority": priority.value})
        try:
            self._queue.put(job)
        except Exception as error:
            if job.trace is not None:
                job.trace.left("refused", error)
            raise
        return job.future

    def _require_hope(self, job: Job[Any]) -> None:
        """Refuse a job that would expire. Raises Hopeless."""
        given = job.deadline - time.monotonic()
        if job.least is None or not math.isfinite(given):
            return
        takes = self._queue.finished_in(self._forecast, job)
        if takes is not None and TRUST * takes > given:
            self._metrics.jobs_left.labels("hopeless").inc()
            raise Hopeless(takes, given)

    def run(self, call: Callable[[], T], share: Share = OWN) -> "Future[T]":
        """Queue a call that needs the device to itself.

        Args:
            call: run on the engine's thread, between two ticks.
            share: whose turn it takes; the server's own calls go before all others.

        Returns:
            The future of its result.

        Raises:
            Draining: the engine is closed.
        """
        return self._queue.put_call(call, share)

    def charge(self, share: Share, seconds: float) -> None:
        """Note what a share has had elsewhere, such as on a thread beside the engine's.

        Args:
            share: whose work it was.
            seconds: that it took.
        """
        self._queue.charge_share(share, seconds)

    def waiting(self) -> list[Job[Any]]:
        """Return the jobs that wait for admission."""
        return [job for job in self._queue.jobs() if not job.admitted]

    def shares(self) -> list[ShareUse]:
        """Tell how it stands with each share that has had the device: at most some thousand, and
        none that has been away for long.
        """
        return self._queue.shares()

    def waiting_of(self, share: Share) -> int:
        """Count the jobs of a share that wait for admission.

        Args:
            share: whose.
        """
        return self._queue.waiting_of(share)

    def running(self) -> list[Job[Any]]:
        """Return the jobs that have been admitted and have not left."""
        return [job for job in self._queue.jobs() if job.admitted]

    def close(self, grace: float) -> None:
        """Take no more jobs, and stop the engine's thread. Blocks.

        Args:
            grace: seconds that the jobs at hand have to finish; the others end with `Draining`.
        """
        self._queue.close()
        limit = time.monotonic() + grace
        while self._queue.busy and time.monotonic() < limit:
            time.sleep(0.02)
        self._queue.stop()
        self._thread.join()

    # What follows runs on the engine's thread.

    def _run(self) -> None:
        if self.limits.threads:
            torch.set_num_threads(self.limits.threads)
        # On a GPU, too, a convolution gives the same bits for the same pass, and those of full
        # float32.
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        while True:
            stopped = self._queue.wait()
            try:
                self._evict()  # a call may want the memory of a job that was cancelled
                if not stopped:
                    with self.activity.of("the begin of jobs"):
                        self._admit()
                if self._call():
                    continue
                if stopped:
                    break
                if (turn := self._queue.turn()) is not None:
                    self._tick(*turn)
            except Exception as error:  # noqa: BLE001 - a defect of the engine itself must leave nobody waiting for ever
                self._fail_all(error)
        self._fail_all(Draining("the server is shutting down"))

    def _call(self) -> bool:
        """Run the call whose turn it is; what it gives is held by its future alone. Tells whether
        there was one.
        """
        found = self._queue.call()
        if found is None:
            return False
        account, (call, future) = found
        with (
            self.activity.of(f"a call, {getattr(call, '__qualname__', call)}"),
            self._charged(account),
        ):
            _complete(call, future)
        return True

    @contextmanager
    def _charged(self, account: Account | None) -> Iterator[None]:
        """Charge a share with the time that something takes."""
        started = self._clock()
        yield
        if account is not None:
            self._queue.charge(account, self._clock() - started)

    def _evict(self) -> None:
        """Let go of jobs that were cancelled or ran out of time."""
        now = time.monotonic()
        for job in self._queue.jobs():
            if job.future.cancelled():
                self._leave(job, "cancelled")
                job.future.set_running_or_notify_cancel()
            elif now > job.deadline:
                error = Expired("the deadline passed before the job was finished")
                self._fail(job, error, "expired")

    def _admit(self) -> None:
        """Begin the waiting jobs that fit into memory; where several shares want the device, only
        for a while.
        """
        started = self._clock()
        while (job := self._queue.admit()) is not None:
            job.last_tick = self.ticks  # it goes behind those that have waited for a tick longer
            job.admitted = True
            self._metrics.waited(job.waited)
            if job.trace is not None:
                job.trace.admitted()
            self._resume(job, None)
            if self._clock() - started > ADMISSION_SECONDS and self._queue.crowded:
                break

    def _tick(self, turn: Account, company: list[Account]) -> None:
        """Answer pending rows in one pass, and resume the jobs whose probe is answered."""
        self.ticks += 1
        started, began = time.monotonic(), self._clock()
        leader = choose_leader(turn.running, turn.turns)
        most, chunk = self._pass_rows.most(leader), self.limits.chunk
        if len(company) > 1:
            rows = fair_rows(company, turn, leader, most, chunk, self._costs)
        else:
            rows = share_rows(turn.running, leader, most, chunk)
        jobs = dict.fromkeys(r.job for r in rows)
        count = sum(map(len, rows))
        with self.activity.of(f"a pass of {count} rows of {len(jobs)} jobs, {leader.model.name}"):
            self._answer(rows)
            self._settle(rows, self._clock() - began)
            self._trace(rows, time.monotonic() - started)
            self._metrics.tick_seconds.observe(time.monotonic() - started)
            self._metrics.tick_rows.observe(count)
            for job in jobs:
                if job.probe is not None and not job.pending:
                    self._report(job)

    def _trace(self, rows: list[RowRange], seconds: float) -> None:
        """Tell of a pass where a job of it is traced."""
        traced = {one.job.trace: len(one) for one in rows if one.job.trace is not None}
        if traced:
            count, model = sum(map(len, rows)), rows[0].job.model.name
            tick = Tick(self.ticks, model, count, len({one.job for one in rows}), seconds)
            next(iter(traced)).ticked(tick, traced)

    def _settle(self, rows: list[RowRange], seconds: float) -> None:
        """Charge the shares of a pass with its time, by rows, and learn from it."""
        count = sum(map(len, rows))
        for one in rows:
            if one.job.account is not None:
                part = seconds * len(one) / count
                self._queue.charge(one.job.account, part, len(one))
        asking = [one.job for one in rows if one.job.probe is not None]
        for one in rows:
            if one.job.probe is not None and one.job.probe.differentiates:
                one.job.had += len(one)
        alike = len(asking) == len(rows) and len({job.kind for job in asking}) == 1
        if alike and asking[0].policy[0]:
            self._forecast.note(asking[0], count, seconds)
        if len({job.policy for job in asking}) == 1 and len(asking) == len(rows):
            for job in {job.kind: job for job in asking}.values():
                self._costs.note(job, count, seconds)

    def _answer(self, rows: list[RowRange]) -> None:
        """Answer in one pass; where a pass of several jobs fails, each is tried alone, so that only
        the one at fault fails.
        """
        try:
            answers = run_pass(rows, self.limits.chunk)
        except Exception as error:  # noqa: BLE001 - whatever a job's objective raises is the job's
            if is_out_of_memory(error):
                self._shrink(rows)
            elif len(rows) == 1:
                self._fail(rows[0].job, error)
            else:
                for one in rows:
                    self._answer([one])
            return
        self._count_gradients(rows)
        self._pass_rows.grow(rows[0].job.model.network)
        for one, answer in zip(rows, answers, strict=True):
            job, wrong = one.job, None
            if job.probe is not None and job.probe.finite:
                wrong = not_finite(answer, one.start)
            if wrong is not None:
                self._fail(job, wrong)
            else:
                job.answers.append(answer)
                job.answered, job.last_tick = one.stop, self.ticks

    def _count_gradients(self, rows: list[RowRange]) -> None:
        counts = Counter[str]()
        for one in rows:
            if one.job.probe is not None and one.job.probe.differentiates:
                counts[one.job.share.key] += len(one)
        for key, count in counts.items():
            self._spent(key, count)
            self._metrics.gradients(rows[0].job.model.name, count)

    def _shrink(self, rows: list[RowRange]) -> None:
        """A pass ran out of memory: the next ones are smaller; a job that needs all of it fails."""
        count, job = sum(map(len, rows)), rows[0].job
        self._metrics.out_of_memory.inc()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        smallest = self.limits.chunk if job.deterministic else 1
        if len(rows) == 1 and (count <= smallest or not job.splittable):
            message = (
                f"a pass of {count} rows, which cannot be split, does not fit into the device's "
                f"memory"
            )
            self._fail(job, OutOfMemory(message))
        self._pass_rows.shrink(job.model.network, count)

    def _report(self, job: Job[Any]) -> None:
        """All rows of a probe are answered: report how far the job is, and resume it."""
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
        """Send a job its answer (None: begin it), up to its next probe or its end."""
        with self._charged(job.account):
            self._advance(job, answer)

    def _advance(self, job: Job[Any], answer: Answer | None) -> None:
        try:
            job.probe = next(job.procedure) if answer is None else job.procedure.send(answer)
            while not len(job.probe.images):  # nothing to ask
                job.probe = job.procedure.send(Answer())
        except StopIteration as stop:
            self._leave(job, "finished")
            if job.future.set_running_or_notify_cancel():
                job.future.set_result(stop.value)
        except Exception as error:  # noqa: BLE001 - whatever a procedure raises is its caller's
            if is_out_of_memory(error):
                error = OutOfMemory("the job's own state does not fit into memory")
            self._fail(job, error)

    def _fail_all(self, error: Exception) -> None:
        for job in self._queue.jobs():
            self._fail(job, error)

    def _fail(self, job: Job[Any], error: Exception, reason: str = "failed") -> None:
        self._leave(job, reason, error)
        if job.future.set_running_or_notify_cancel():
            job.future.set_exception(error)

    def _leave(self, job: Job[Any], reason: str, error: Exception | None = None) -> None:
        """Let go of a job: its rows, its answers, and its procedure, which is closed."""
        self._metrics.jobs_left.labels(reason).inc()
        if job.trace is not None:
            job.trace.left(reason, error)
        self._queue.remove(job)
        job.probe, job.answers = None, []
        try:
            job.procedure.close()
        except Exception as error:  # noqa: BLE001 - it was told to end, and its caller has its outcome already
            log.warning("a procedure did not close", error=str(error), kind=type(error).__name__)


def _complete(call: Callable[[], T], future: "Future[T]") -> None:
    """Run a call and give its future the result, or what it raises."""
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, not to this thread
            future.set_exception(error)
