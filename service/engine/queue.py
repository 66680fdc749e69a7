"""What an engine has taken on: the jobs that wait and run, and the calls that want the device."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from service.engine.forecast import Forecast
from service.engine.job import Draining, Job, QueueFull
from service.engine.ledger import Ledger
from service.engine.limits import EngineLimits
from service.engine.metrics import Metrics
from service.engine.scheduler import OVERTAKEN_SECONDS, next_to_admit
from service.engine.share import OWN, Account, Call, Share, ShareUse, least_served

T = TypeVar("T")

# Of what anybody may take, the part that is kept for each of those who have less than it.
KEPT = 8
LONGEST_RETRY = 30.0  # seconds after which one who was refused may try again at the latest


class JobQueue:
    """The jobs and calls of one engine. Any thread may put some in; the engine's thread takes them
    out.

    Attributes:
        ledger: whose they are; changed under `changed` alone.
    """

    def __init__(self, limits: EngineLimits, metrics: Metrics) -> None:
        """Make an empty queue that is open.

        Args:
            limits: memory and queue size are held here.
            metrics: counts those that are refused.
        """
        self._limits, self._metrics = limits, metrics
        self.ledger = Ledger()
        self._changed = threading.Condition()
        self._open = True
        self._stopped = False
        self._waiting = self._running = self._calls = 0  # how many there are in all
        self._waiting_memory = self._running_memory = 0

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
            account = self.ledger.open(job.share)
            if not self._has_room(account, job):
                self._metrics.refused.inc()
                raise QueueFull(self._waiting, self._retry_after(account))
            job.account = account
            account.waiting.append(job)
            account.waiting_memory += job.memory
            self._waiting += 1
            self._waiting_memory += job.memory
            self._changed.notify()

    def _retry_after(self, account: Account) -> float:
        """Seconds after which there may be room: as long as others have waited of late, and more
        the longer nothing has moved.
        """
        oldest = account.waiting[0].submitted if account.waiting else time.monotonic()
        stood = (time.monotonic() - oldest) / 2
        return max(self._metrics.recent_wait(), min(stood, LONGEST_RETRY))

    def _has_room(self, account: Account, job: Job[Any]) -> bool:
        """Whether one more may wait. There is room for `queue_size` jobs of anybody, and for as
        many again of those who have less than an eighth of it; likewise for what they hold.
        """
        size, memory = self._limits.queue_size, self._limits.memory
        return _takes(size, self._waiting, len(account.waiting), 1) and (
            not self._waiting
            or _takes(memory, self._waiting_memory, account.waiting_memory, job.memory)
        )

    def put_call(self, call: Callable[[], T], share: Share = OWN) -> "Future[T]":
        """Let a call wait for the device.

        Args:
            call: run on the engine's thread, between two ticks.
            share: whose it is.

        Returns:
            The future of its result.

        Raises:
            Draining: the engine has stopped.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._stopped:
                raise Draining("the server is shutting down")
            self.ledger.open(share).calls.append((call, future))
            self._calls += 1
            self._changed.notify()
        return future

    def shares(self) -> list[ShareUse]:
        """Tell how it stands with each share."""
        with self._changed:
            return [ShareUse.of(account) for account in self.ledger]

    def finished_in(self, forecast: Forecast, job: Job[Any]) -> float | None:
        """Estimate from below when a job will be finished, see `Forecast.finished_in`."""
        assert job.least is not None
        with self._changed:
            return forecast.finished_in(
                job.model.network, job.least, job.deterministic, job.share, self.ledger
            )

    def waiting_of(self, share: Share) -> int:
        """Count the jobs of a share that wait for admission."""
        with self._changed:
            account = self.ledger.find(share.key)
            return 0 if account is None else len(account.waiting)

    def wait(self) -> bool:
        """Wait until there is something to do.

        Returns:
            Whether to stop.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopped or self._calls or self._waiting or self._running
            )
            return self._stopped

    def call(self) -> tuple[Account, Call] | None:
        """Take the call whose turn it is: the server's own at once, others before the jobs of those
        who have had more.

        Returns:
            Whose it is, and the call, which leaves the queue; None where it is a job's turn.
        """
        if not self._calls:
            return None
        with self._changed:
            ready = [account for account in self.ledger if account.calls]
            own = next((account for account in ready if account.share.key == OWN.key), None)
            account = own or least_served(ready)
            first = self.ledger.turn()
            if account is None or (
                not own and not self._stopped and first and first.served < account.served
            ):
                return None
            self._calls -= 1
            self.ledger.serve(account)
            return account, account.calls.popleft()

    def turn(self) -> tuple[Account, list[Account]] | None:
        """Find who leads the next pass.

        Returns:
            The account that has had least of those with jobs that run, and all that share the
            device at present, with it; None where no job runs.
        """
        with self._changed:
            account = self.ledger.turn()
            if account is None:
                return None
            self.ledger.serve(account)
            account.turns += 1
            return account, self.ledger.company()

    def charge(self, account: Account, seconds: float, rows: int = 0) -> None:
        """Note what an account has had, see `Ledger.charge`."""
        with self._changed:
            self.ledger.charge(account, seconds, rows)

    def charge_share(self, share: Share, seconds: float) -> None:
        """Note what a share has had elsewhere."""
        with self._changed:
            self.ledger.charge(self.ledger.open(share), seconds)

    def admit(self) -> Job[Any] | None:
        """Move the waiting job whose turn it is to the running ones: one of the share that has had
        least of those of which one fits.

        Returns:
            The job; None where none waits, or none fits into the memory that is free.
        """
        if not self._waiting:
            return None
        with self._changed:
            waiting = sorted((a for a in self.ledger if a.waiting), key=lambda a: a.served)
            overtaken = False
            for account in waiting:
                if overtaken and account.running:
                    continue
                job = next_to_admit(account.waiting, account.admitted, self._free(account))
                if job is not None:
                    self._begin(account, job)
                    return job
                overtaken = overtaken or _is_late(account.waiting[0])
        return None

    def _begin(self, account: Account, job: Job[Any]) -> None:
        self._forget(job, account)
        account.running.append(job)
        account.running_memory += job.memory
        account.admitted += 1
        self._running += 1
        self._running_memory += job.memory

    def _free(self, account: Account) -> int | None:
        """Bytes that one more job may hold between ticks; None: any number."""
        if not self._running:
            return None
        most = self._limits.memory // 2
        kept = 0 if account.running else most // KEPT
        return most + kept - self._running_memory

    def jobs(self) -> tuple[Job[Any], ...]:
        """Return all jobs, running ones first."""
        with self._changed:
            running = [job for account in self.ledger for job in account.running]
            return *running, *(job for account in self.ledger for job in account.waiting)

    def remove(self, job: Job[Any]) -> None:
        """Let go of a job, wherever it is.

        Args:
            job: one that runs, waits, or is not here any more.
        """
        with self._changed:
            if job.account is not None:
                self._forget(job, job.account)

    def _forget(self, job: Job[Any], account: Account) -> None:
        if job in account.running:
            account.running.remove(job)
            account.running_memory -= job.memory
            self._running -= 1
            self._running_memory -= job.memory
        elif job in account.waiting:
            account.waiting.remove(job)
            account.waiting_memory -= job.memory
            self._waiting -= 1
            self._waiting_memory -= job.memory

    @property
    def crowded(self) -> bool:
        """Whether several shares want the device, or did a moment ago."""
        with self._changed:
            return len(self.ledger.company()) > 1

    @property
    def busy(self) -> bool:
        """Whether any job waits or runs."""
        return bool(self._waiting or self._running)

    def close(self) -> None:
        """Take no more jobs; calls are still taken."""
        with self._changed:
            self._open = False

    def stop(self) -> None:
        """Take no more calls either, and have `wait` tell the engine's thread to stop."""
        with self._changed:
            self._stopped = True
            self._changed.notify()


def _takes(most: int, taken: int, own: int, more: int) -> bool:
    """Whether more goes into a room of which one has a part, and others the rest."""
    few = not own or own + more <= most // KEPT
    return taken + more <= most or (few and taken + more <= 2 * most)


def _is_late(job: Job[Any]) -> bool:
    """Whether a job has been overtaken for long enough."""
    return time.monotonic() - job.submitted > OVERTAKEN_SECONDS
