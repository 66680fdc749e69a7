"""The run of an audit: shard by shard through the engine and into a journal, from which a later
server goes on.
"""

import queue
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.attack.unanswered import unchecked
from interp.audit.answered import answered_rows, note_unanswered
from interp.audit.checks.begin import Steps
from interp.audit.checks.check import Check
from interp.audit.checks.network import NetworkChecks, check_network
from interp.audit.checks.one_level import logits_jump
from interp.audit.corruption_error import corruptions_alone
from interp.audit.expectation import FURTHER
from interp.audit.plan import Plan, PlannedAttack
from interp.audit.result import ShardResult
from interp.audit.shard import audit_shard, empty_shard
from interp.audit.tally import Tally
from interp.probe import Procedure
from service.audit import shard_images
from service.audit.journal import Journal, Shard
from service.audit.shard_images import ShardImages
from service.audit.spec import AuditProgress, AuditSpec
from service.datasets.samples import LeftOut, none_left
from service.engine.submit import submit_when_free
from service.models.zoo import HostedModel

log = structlog.get_logger()
T = TypeVar("T")

# on which the audit checks itself; a wrong normalization shows on fewer only if it costs much
CHECK_IMAGES = 256
GALLERY_IMAGES = 1024  # from which the gallery is chosen: their clean pixels are kept
_POLL = 0.05  # seconds between two looks at whether the audit was cancelled


class Submit(Protocol):
    """Hands a procedure on `rows` images to the device's thread; raises QueueFull."""

    def __call__(
        self, model: HostedModel, procedure: Procedure[T], rows: int, /
    ) -> "Future[T]": ...


ReportProgress = Callable[
    [AuditProgress, bool], None
]  # (progress, whether something was finished that will not be done again)


class AuditRun:
    """One run of an audit over its journal, in a thread of its own.

    Args:
        job: what to do.
        journal: what earlier runs have done, and this one will have.
        submit: hands procedures to the device.
        report_progress: hears of progress.
        cancelled: whether to stop.
    """

    def __init__(
        self,
        job: AuditSpec,
        journal: Journal,
        submit: Submit,
        report_progress: ReportProgress,
        cancelled: Callable[[], bool],
    ) -> None:
        self.job, self.journal = job, journal
        reference = corruptions_alone(job.plan) if job.reference_alone else None
        classes = job.models[0].network.classes
        self.tally = Tally(job.plan, classes, len(job.models), job.gates, reference)
        self.shards_counted, self.left_out = 0, list[LeftOut]()
        self._submit, self._report_progress, self._cancelled = submit, report_progress, cancelled
        self._began: tuple[float, int] | None = (
            None  # when this run began to judge, and how many images earlier ones had judged
        )

    @property
    def done(self) -> int:
        """Images that are judged, or left out because they cannot be used."""
        return self.tally.images + len(self.left_out)

    @property
    def stopped(self) -> str | None:
        """Why the audit ends before its last image, "gates" or "budget", or None. It depends on the
        shards so far alone.
        """
        if self.done == self.job.images:
            return None
        if self.tally.decided:
            return "gates"
        return "budget" if 0 < self.job.budget <= self.tally.gradients else None

    def run(self) -> None:
        """Judge shards until there is one for all images, or all gates are decided, or the budget
        is spent.

        Those that are in the journal are taken from there.

        Raises:
            CancelledError: `cancelled` said so, or the engine's futures were cancelled.
            AuditChanged: models, data set or server are not those that the audit began with.
            DatasetError: an image cannot be used, or the files have changed; the message says
                which.
            Exception: whatever the procedures raise.
        """
        self.report_stage("comparing with what it began with")
        self.journal.begin(self.job.facts)
        if self.job.checked:
            self._check()
        done, shards = self._count_journaled(), self.job.shards
        self._began = time.monotonic(), self.done
        if done < len(shards) and not self.stopped:
            self._judge(done)
        if not self.tally.images:
            raise none_left(self.job.dataset, self.left_out)

    def _judge(self, done: int) -> None:
        """Judge the shards behind the first `done`."""
        shards = self.job.shards
        self.report_stage(self._next())
        with closing(self._images(shards[done:])) as parts:
            for number, images in enumerate(parts, start=done):
                found = self._audit(number, images)
                self.job.dataset.check_unchanged("it was audited")
                self._count(found, lasting=True)
                if self.stopped:
                    return

    def report_stage(self, stage: str, lasting: bool = False) -> None:
        """Say what is being done. Raises CancelledError.

        Args:
            stage: what is being done, in words.
            lasting: whether something was finished that will not be done again.
        """
        self._raise_if_cancelled()
        done, seconds = self.done, None
        if self._began is not None and done > self._began[1]:
            seconds = (
                (time.monotonic() - self._began[0])
                / (done - self._began[1])
                * (0 if self.stopped else self.job.images - done)
            )
        judged, left_out = self.tally.images, len(self.left_out)
        progress = AuditProgress(
            judged, self.job.images, self.tally.gradients, seconds, stage, left_out
        )
        self._report_progress(progress, lasting)

    def _count_journaled(self) -> int:
        """Count the shards at the front that earlier runs have finished on all networks, and return
        their number.
        """
        networks = range(len(self.job.judged))
        for number in range(len(self.job.shards)):
            found = [self.journal.read(number, network, images=False) for network in networks]
            if self.stopped or None in found:
                return number
            self._count([shard for shard in found if shard is not None], lasting=False)
        return len(self.job.shards)

    def _count(self, found: Sequence[Shard], lasting: bool) -> None:
        """Count the next shard. To the tally an image's place is that among those judged."""
        judged = [shard.judged for shard in found]
        self.tally.add(judged, found[0].labels, self.tally.images)
        self.left_out += found[0].left_out
        self.shards_counted += 1
        self.report_stage(self._next(), lasting)

    def _next(self) -> str:
        """The stage that begins: the shard behind those that are counted."""
        shards = len(self.job.shards)
        return f"shard {min(self.shards_counted + 1, shards)} of {shards}"

    def _images(self, shards: Sequence[range]) -> Generator[ShardImages, None, None]:
        order, job = self.job.order, self.job
        parts = [order[shard.start : shard.stop] for shard in shards]
        return shard_images.read_shards(
            job.dataset,
            parts,
            job.classes,
            [model.preprocessing for model, _ in job.judged],
            self._wait,
        )

    def _audit(self, number: int, images: ShardImages) -> list[Shard]:
        """Judge a shard on those networks on which the journal does not have it."""
        job, first = self.job, self.job.shards[number].start
        found = [self.journal.read(number, network) for network in range(len(job.judged))]
        missing = [network for network, shard in enumerate(found) if shard is None]
        log.info(
            "audit judges a shard", audit=self.journal.folder.name, shard=number, networks=missing
        )
        running: dict[int, Future[ShardResult]] = {}
        try:
            for network in missing:
                model, plan = job.judged[network]
                if not len(images.ids):
                    running[network] = Future()
                    running[network].set_result(empty_shard(plan, model.network.shape))
                    continue
                procedure = _audit_shard(
                    model.network.device,
                    images.pixels[network],
                    images.labels,
                    plan,
                    first,
                    self._further(network),
                )
                running[network] = self._start(model, procedure, len(images.ids))
            for network, future in running.items():
                pixels = images.pixels[network] if first < GALLERY_IMAGES else None
                judged = self._wait(future)
                if met := self.journal.read_met(network):
                    judged = judged.with_findings(met, first)
                shard = found[network] = Shard(
                    images.ids,
                    images.names,
                    images.labels,
                    judged,
                    pixels,
                    images.left_out,
                )
                self.journal.write(number, network, shard)
        finally:
            for future in running.values():
                future.cancel()
        return [shard for shard in found if shard is not None]

    def _rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows by which shards call images from the front of the order, (B,) by their numbers:
        those behind one that is left out move up within their shard.
        """
        shard = np.isin(self.job.order, ids).nonzero()[0] // self.job.shard
        return shard * self.job.shard + np.arange(len(shard)) - np.searchsorted(shard, shard)

    def _further(self, network: int) -> Sequence[PlannedAttack]:
        """Attacks beyond the plan's, on a network of which the checks say that it needs them."""
        checks = self.journal.read_checks(network) or ()
        return FURTHER if logits_jump([Check(**check) for check in checks]) else ()

    def _check(self) -> None:
        """Have the audit check itself on each network, but for those on which an earlier
        run did.
        """
        job = self.job
        missing = [
            number for number in range(len(job.models)) if self.journal.read_checks(number) is None
        ]
        if not missing:
            return
        with closing(self._images([range(min(CHECK_IMAGES, job.images))])) as parts:
            images = next(parts)
        if not len(images.ids):
            raise none_left(job.dataset, images.left_out)
        for number in missing:
            model = job.models[number]
            stage = f"checks of {model.name}"
            self.report_stage(stage)
            begun = queue.SimpleQueue[str]()
            tell = partial(_tell, begun, stage)
            procedure = _check_all(model, images.pixels[number], images.labels, job.plan, tell)
            found = self._wait(self._start(model, procedure, len(images.ids)), begun)
            rows = self._rows(images.ids)
            met = [replace(one, row=rows[one.row]) for one in found.examples]
            self.journal.write_met(number, met)
            self.journal.write_checks(number, [asdict(check) for check in found.checks])
            self.report_stage(f"checks of {model.name}", lasting=True)

    def _start(self, model: HostedModel, procedure: Procedure[T], rows: int) -> "Future[T]":
        """Submit, waiting while the device's queue is full, until the audit is cancelled."""

        def submit() -> "Future[T]":
            self._raise_if_cancelled()
            return self._submit(model, procedure, rows)

        return submit_when_free(submit)

    def _wait(self, future: "Future[T]", begun: "queue.SimpleQueue[str] | None" = None) -> T:
        """The result of a future, which is cancelled with the audit; what has begun meanwhile is
        told.
        """
        while True:
            try:
                self._raise_if_cancelled()
                self._report_begun(begun)
                result = future.result(_POLL)
                self._report_begun(begun)
                return result
            except CancelledError:
                future.cancel()
                raise
            except TimeoutError:
                if future.done():  # then it is the work's own
                    raise

    def _report_begun(self, begun: "queue.SimpleQueue[str] | None") -> None:
        while begun is not None and not begun.empty():
            self.report_stage(begun.get())

    def _raise_if_cancelled(self) -> None:
        if self._cancelled():
            raise CancelledError(f"stopped after {self.done} of {self.job.images} images")


def _audit_shard(
    device: torch.device,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    plan: Plan,
    first: int,
    further: Sequence[PlannedAttack],
) -> Procedure[ShardResult]:
    """`audit_shard` between host and device: both copies are made when the engine runs this, not
    before.
    """
    x, classes = _on_device(device, pixels, labels)
    judged = audit_shard(x, classes, plan, first, further)
    return (yield from note_unanswered(judged, len(x), x.device))


def _tell(begun: "queue.SimpleQueue[str]", stage: str, what: str, step: int, steps: int) -> None:
    """Leave word on the engine's thread of what begins."""
    begun.put(f"{stage}: {step} of {steps}, {what}")


def _check_all(
    model: HostedModel,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    plan: Plan,
    tell: Steps,
) -> Procedure[NetworkChecks]:
    """`check_network`, in the same way, on the images that the network answers by numbers."""
    x, classes = _on_device(model.network.device, pixels, labels)
    rows = yield from answered_rows(x, classes)
    if not len(rows):
        return NetworkChecks([], [])
    seen = model.preprocessing
    checks = check_network(x[rows], classes[rows], plan, mean=seen.mean, std=seen.std, tell=tell)
    found, met = yield from unchecked(checks)
    numbers = rows.cpu().numpy()
    return NetworkChecks(found, [replace(one, row=numbers[one.row]) for one in met])


def _on_device(
    device: torch.device, pixels: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) in [0, 1] and labels (B,)."""
    return torch.from_numpy(pixels).to(device).float() / 255, torch.from_numpy(labels).to(device)
