"""Building an index: shard by shard, by as many builders as share the folder, and then the index
from the shards.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from interp.probe import Procedure
from service.datasets import Dataset, DatasetError
from service.datasets.samples import none_left
from service.index.files import UNREADABLE, Files
from service.index.layer import description, finish, stem
from service.index.scan import BatchSummaries, Prepare, ScannedBatch, Submit, scan
from service.index.shards import Damaged, ShardParts, load_left_out, save_shard, shard_name
from service.index.sound import sound
from service.index.types import BuildProgress, IndexPlan

log = structlog.get_logger()


@dataclass(eq=False)
class Build:
    """One builder of a plan's index.

    A builder begins at a shard of its own, passes over those that are on disk, and ends when all
    are; so several share the work, and do at most their last shards twice. Whoever finds all shards
    there makes the index from them, in their order: whoever built what, the bytes are the same if
    the activations are.

    Args:
        lock: held while a layer's index is replaced.
    """

    files: Files
    plan: IndexPlan
    dataset: Dataset
    prepare: Prepare
    submit: Submit
    lock: AbstractContextManager[object]
    batch: int
    workers: int
    progress: Callable[[BuildProgress], None]
    cancelled: Callable[[], bool]
    _whole: set[int] = field(default_factory=set)  # shards known to be on disk
    _left_out: dict[int, int] = field(default_factory=dict)  # images, by the shard they are of

    def run(self) -> None:
        """Build it. Raises what `IndexStore.build` says."""
        self._before = self._marks()
        rebuilt = set[int]()
        while not self._made_by_another():
            self._scan()
            self._check_dataset()
            try:
                self._finish()
            except Damaged as damage:
                if damage.number in rebuilt:
                    raise OSError(
                        f"in folder {self.plan.key!r} of the indexes, {damage}, though it "
                        f"was built again"
                    ) from damage
                rebuilt.add(damage.number)
                log.warning("a shard is built again", plan=self.plan.key, error=str(damage))
                self.files.remove(shard_name(self.plan, damage.number))
            else:
                break
        self.files.remove_folder(self.plan.key)

    def _scan(self) -> None:
        """Make all shards that are not there."""
        self._look()
        self._tell(0)
        shard = ShardParts()
        with closing(
            scan(
                self.dataset,
                self._batches(),
                list(self.plan.shapes),
                self.prepare,
                self._submit,
                self.workers,
                self.plan.look_step,
            )
        ) as batches:
            for scanned in batches:
                batch = sound(scanned, self.dataset, self.plan.look_step)
                self._check(batch)
                shard.add(batch)
                number = batch.span.start // self.plan.step
                self._left_out[number] = len(shard.left_out)
                whole = batch.span.stop == self.plan.shards[number].stop
                if whole:
                    self._save(number, shard)
                    shard = ShardParts()
                self._tell(shard.images, whole)
                if len(self._whole) < len(self.plan.shards) and self.cancelled():
                    raise CancelledError(
                        f"stopped after {self._done + shard.images} of {self.plan.images} images"
                    )

    def _check_dataset(self) -> None:
        """Refuse an index of two states of the data set: nothing of it is kept."""
        try:
            self.dataset.check_unchanged("it was indexed")
        except DatasetError:
            self.files.remove_folder(self.plan.key)
            raise

    def _submit(self, procedure: Procedure[BatchSummaries]) -> "Future[BatchSummaries]":
        """`submit`, but for those who were cancelled while the device's queue is full."""
        if self.cancelled():
            raise CancelledError("stopped while the device was waited for")
        return self.submit(procedure)

    def _batches(self) -> Iterator[range]:
        """The images to scan, a batch at a time; batches begin where their shard does."""
        shards = self.plan.shards
        first = secrets.randbelow(len(shards))  # another place for another builder
        for number in (*range(first, len(shards)), *range(first)):
            self._look()
            if number not in self._whole:
                span = shards[number]
                yield from (
                    range(low, min(low + self.batch, span.stop))
                    for low in range(span.start, span.stop, self.batch)
                )

    def _look(self) -> None:
        """See which shards are on disk; all count as there if another builder has made the index
        meanwhile.
        """
        there = self.files.entries(self.plan.key)
        shards = range(len(self.plan.shards))
        self._whole = {n for n in shards if shard_name(self.plan, n).rpartition("/")[2] in there}
        if len(self._whole) < len(shards) and self._made_by_another():
            self._whole = set(shards)

    def _save(self, number: int, shard: ShardParts) -> None:
        found = shard.joined(self.plan.shapes)
        try:
            save_shard(self.files, self.plan, number, found, shard)
        except UNREADABLE:  # another builder, which has ended, may have removed the folder under it
            if not self._made_by_another():
                save_shard(self.files, self.plan, number, found, shard)
        self._whole.add(number)

    def _finish(self) -> None:
        """Make the index of every layer from the shards. Raises Damaged."""
        if self._made_by_another():
            return
        self.files.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.files.cache) as folder:
            paths = [self._fetch(number, Path(folder)) for number in range(len(self.plan.shards))]
            left_out = load_left_out(paths)
            if len(left_out) == self.plan.images:
                self.files.remove_folder(self.plan.key)
                raise none_left(self.dataset, left_out)
            for layer in self.plan.shapes:
                if self.cancelled():
                    raise CancelledError("stopped while the index was made from its shards")
                with self.lock:
                    finish(self.files, self.plan, layer, paths)

    def _fetch(self, number: int, folder: Path) -> Path:
        try:
            return self.files.fetch(shard_name(self.plan, number), folder)
        except OSError as error:
            raise Damaged(number, error) from error

    @property
    def _done(self) -> int:
        return sum(len(self.plan.shards[number]) for number in self._whole)

    def _tell(self, more: int, lasting: bool = False) -> None:
        done = min(self._done + more, self.plan.images)
        self.progress(
            BuildProgress(
                done,
                self.plan.images,
                len(self._whole),
                len(self.plan.shards),
                lasting,
                sum(self._left_out.values()),
            )
        )

    def _check(self, batch: ScannedBatch) -> None:
        for image, label in zip(batch.ids, batch.labels, strict=True):
            if label is not None and self.plan.kept and label >= self.plan.labels:
                raise DatasetError(
                    f"image {image} of data set {self.dataset.name!r} has label {label}, "
                    f"not one below {self.plan.labels}"
                )

    def _marks(self) -> list[str | None]:
        """What tells whether the layers' indexes have been replaced."""
        entries = self.files.entries()
        return [entries.get(f"{stem(self.plan, layer)}.json") for layer in self.plan.shapes]

    def _made_by_another(self) -> bool:
        """Whether the index of every layer has been made from this plan since this builder
        began.
        """
        if any(now == before for now, before in zip(self._marks(), self._before, strict=True)):
            return False
        made = [
            description(self.files, f"{stem(self.plan, layer)}.json") for layer in self.plan.shapes
        ]
        return all(about is not None and about["plan"] == self.plan.key for about in made)
