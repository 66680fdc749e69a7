"""Exemplar indexes: what each unit of a layer does over a data set, built in one pass and kept on
disk or in an object store.

`<model>-<data set>-<layer>-<key>.json` describes the index of one layer and names its tensor file;
a parquet file of the same name holds a row of statistics a unit. A build in progress keeps its
shards in a folder of its own, see `service.index.build`.
"""

import math
import re
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from interp.exemplars import RankedBy
from service.datasets import Dataset, DatasetError
from service.index.build import Build
from service.index.files import UNREADABLE, Files
from service.index.layer import description, read_description, require_description, stem_of
from service.index.outdated import OutdatedIndex
from service.index.query import InvalidQuery, LayerIndex
from service.index.scan import Prepare, Submit
from service.index.types import (
    BuildProgress,
    ExemplarHits,
    Extremes,
    Hit,
    IndexMissing,
    IndexPlan,
    Order,
    Subject,
    UnitStatistics,
    build_command,
)
from service.state import DataLost, Quarantine

__all__ = [
    "BuildProgress",
    "ExemplarHits",
    "Extremes",
    "Hit",
    "IndexMissing",
    "IndexPlan",
    "IndexStore",
    "Order",
    "Subject",
    "UnitStatistics",
]

T = TypeVar("T")

_DESCRIPTION = re.compile(r"-[0-9a-f]{32}\.json$")  # how the names of descriptions end
_FRESH = 1.0  # seconds for which what was last seen of the folder is believed


def _quiet(progress: BuildProgress) -> None:
    """Tells nobody."""


class IndexStore:
    """The indexes in a folder, which other servers may share. It may be used from several threads.

    Args:
        state: the server's state folder. The indexes are in its folder `indexes`, unless `uri` says
            otherwise.
        uri: a folder, or any URL that fsspec knows, e.g. "s3://bucket/prefix"; its files are copied
            to the state folder to be mapped into memory.
        quarantine: where damaged descriptions go; None: a folder of the state folder.
        may_name: tells of a data set whether the present caller may know of it.

    Raises:
        ValueError: the URI cannot be used.
    """

    def __init__(
        self,
        state: Path,
        uri: str = "",
        quarantine: Quarantine | None = None,
        may_name: Callable[[str], bool] = bool,
    ) -> None:
        self._may_name = may_name
        self._quarantine = quarantine or Quarantine(state / "quarantine")
        self._damaged = dict[str, str]()  # descriptions that were set aside, and why
        self._files = Files(uri or str((state / "indexes").absolute()), state / "index-cache")
        self._lock, self._replacing = threading.Lock(), threading.Lock()
        self._known: dict[tuple[Subject, str], LayerIndex] = {}
        self._outdated: list[OutdatedIndex] = []
        self._read: dict[
            str, tuple[str, LayerIndex | OutdatedIndex]
        ] = {}  # by the description's name: its mark, and what it tells of
        self._looked = -math.inf  # when, by the monotonic clock
        self._look()

    def layers(self, subject: Subject) -> list[str]:
        """List the layers with an index of a subject, sorted.

        Args:
            subject: the model and the data set.

        Returns:
            The dotted names.
        """
        return [index.layer for index in self.indexes(subject)]

    def indexes(self, subject: Subject) -> list[LayerIndex]:
        """List the indexes of a subject, by layer.

        Args:
            subject: the model and the data set.
        """
        found = [index for (known, _), index in self._seen().items() if known == subject]
        return sorted(found, key=lambda index: index.layer)

    def indexed(self, model: str, digest: str, layer: str) -> list[Subject]:
        """List what has an index of that layer of the model with those weights, the data set of
        most images first. Those that are kept from the caller are not there.

        Args:
            model: its name.
            digest: of its weights.
            layer: its dotted name.

        Returns:
            The subjects.
        """
        found = [
            index
            for (known, name), index in self._seen().items()
            if (known.model, known.digest, name) == (model, digest, layer)
            and self._may_name(known.dataset)
        ]
        return [
            index.subject
            for index in sorted(
                found, key=lambda index: (-index.images, index.subject.dataset, index.subject.uri)
            )
        ]

    def left_out(self, subject: Subject, layer: str) -> dict[str, Any]:
        """Tell which images an index leaves out, as `service.datasets.samples.summary` says it.

        Args:
            subject: the model and the data set.
            layer: its dotted name.

        Raises:
            IndexMissing: there is no such index.
        """
        return self._ask(subject, layer, lambda index: index.left_out)

    def look(self, subject: Subject, layer: str) -> tuple[float, float, float] | None:
        """Tell how the images of an index look.

        Args:
            subject: the model and the data set.
            layer: its dotted name.

        Returns:
            The means of `interp.feature.appearance`: clipped share, high-frequency share and
            saturation; None where an older version built the index.

        Raises:
            IndexMissing: there is no such index.
        """
        return self._ask(subject, layer, lambda index: index.look)

    def find(
        self,
        subject: Subject,
        layer: str,
        unit: int,
        k: int,
        order: Order = "max",
        label: int | None = None,
    ) -> ExemplarHits:
        """The first k images of a unit by an order, or all that the index has if these are fewer.

        "max" and "mean" begin with the highest, "min" with the lowest, "magnitude" with the largest
        |h|; "quantile" gives the images at the index's quantiles of the maximum, in rising order.
        With a label, only images of it, by "max" alone.

        Args:
            subject: the model and the data set.
            layer: its dotted name.
            unit: its number in the layer.
            k: number of images at most.
            order: that they are found by.
            label: that they have; None for any.

        Returns:
            The images, and the number of images indexed.

        Raises:
            IndexMissing: there is no index of that subject and layer.
            DataLost: it is not what was written.
            ValueError: the layer has no such unit, or the index no such order or label.
        """
        return self._ask(subject, layer, lambda index: index.find(unit, k, order, label))

    def statistics(
        self, subject: Subject, layer: str, unit: int | None = None
    ) -> list[UnitStatistics]:
        """Read the statistics of one unit, or of all.

        Args:
            subject: the model and the data set.
            layer: its dotted name.
            unit: its number in the layer; None for all units.

        Returns:
            The statistics of the unit, or of all units in order.

        Raises:
            IndexMissing: there is no index of that subject and layer.
            DataLost: it is not what was written.
            ValueError: the layer has no such unit.
        """
        return self._ask(subject, layer, lambda index: index.statistics(unit))

    def extremes(self, subject: Subject, layer: str) -> Extremes | None:
        """Read the largest and the smallest activations of the layer's units.

        Args:
            subject: the model and the data set.
            layer: its dotted name.

        Returns:
            The extremes; None without an index.
        """
        try:
            return self._ask(subject, layer, LayerIndex.extremes)
        except (IndexMissing, DataLost):
            return None

    def outdated(self, model: str, digest: str, layer: str) -> str:
        """Say that there is an index of that layer of the model with those weights, but in the
        format of another version.

        Args:
            model: its name.
            digest: of its weights.
            layer: its dotted name.

        Returns:
            A sentence, with the way on; "" where there is none.
        """
        self._seen()
        found = (
            one for one in self._outdated if one.is_of(model, layer) and self._may_name(one.dataset)
        )
        return next((str(one) for one in found if one.digest == digest), "")

    def missing(self, subject: Subject, layer: str) -> IndexMissing:
        """Say why there is no index, and how to get one.

        Args:
            subject: the model and the data set.
            layer: its dotted name.

        Returns:
            The error, to be raised.
        """
        model, dataset = subject.model, subject.dataset
        command = build_command(model, dataset, layer)
        what = f"of model {model!r}, data set {dataset!r} and layer {layer!r}"
        for one in self._outdated:
            if one.is_of(model, layer) and one.dataset == dataset:
                return IndexMissing(str(one), stale=True)
        if any(
            (known.model, known.dataset, name) == (model, dataset, layer)
            for known, name in self._known
        ):
            return IndexMissing(
                f"the index {what} is of other weights or of other files of the data set than "
                f"there are now: build it again: {command}",
                stale=True,
            )
        return IndexMissing(f"there is no index {what}: build it first: {command}")

    def percentile(
        self, subject: Subject, layer: str, unit: int, value: float, of: RankedBy = "max"
    ) -> float:
        """Find the share of images on which what an order ranks by is below a value.

        Args:
            subject: the model and the data set.
            layer: its dotted name.
            unit: its number in the layer.
            value: an activation, minus it or its magnitude, as the order has it.
            of: the order: by "max" each image's maximum is compared, by "lowest_mean" minus its
                mean over positions, by "mean_magnitude" the magnitude of that mean, and so on.

        Returns:
            The share, from 0 to 1: exact for up to 257 images, else within 1/256.

        Raises:
            IndexMissing: there is no index of that subject and layer.
            DataLost: it is not what was written.
            ValueError: the layer has no such unit.
        """
        return self._ask(subject, layer, lambda index: index.percentile(unit, value, of))

    def build(
        self,
        plan: IndexPlan,
        dataset: Dataset,
        prepare: Prepare,
        submit: Submit,
        batch: int = 64,
        workers: int = 2,
        progress: Callable[[BuildProgress], None] = _quiet,
        cancelled: Callable[[], bool] = bool,
    ) -> int:
        """Scan the data set, and keep what was found as indexes of the plan's layers.

        A layer has one index: what an index of more images, or of as many with a larger k, already
        says is not replaced.

        It blocks, and goes on behind the whole shards of earlier builds of the same plan, and
        beside other builders that share the folder.

        Args:
            plan: what is indexed, and how.
            dataset: that is scanned.
            prepare: makes a network's input of an image.
            submit: hands a procedure to the thread of the device.
            batch: images in one batch.
            workers: number of threads that decode.
            progress: called at the start, after every `batch` images and at the end.
            cancelled: asked whether to end.

        Returns:
            The number of images that the index is built from.

        Raises:
            CancelledError: `cancelled` said so, or the device's futures were cancelled; whole
                shards are kept.
            DatasetError: the data set is empty, or an image cannot be read.
            NotFinite: an activation is not a number, or infinite in 32 bits.
        """
        if not plan.images:
            raise DatasetError(
                f"data set {plan.subject.dataset!r} is empty: there is nothing to index"
            )
        Build(
            self._files,
            plan,
            dataset,
            prepare,
            submit,
            self._replacing,
            batch,
            workers,
            progress,
            cancelled,
        ).run()
        self._look()
        left_out: int = self.left_out(plan.subject, next(iter(plan.shapes)))["count"]
        shards = len(plan.shards)
        progress(BuildProgress(plan.images, plan.images, shards, shards, False, left_out))
        return plan.images - left_out

    def _ask(self, subject: Subject, layer: str, ask: Callable[[LayerIndex], T]) -> T:
        """Ask an index; if that does not work, look once more whether another builder has replaced
        it.
        """
        index = self._seen().get((subject, layer))
        error: BaseException | None = None
        for again in (False, True):
            if again:
                self._look()
                index = self._known.get((subject, layer))
            if index is None:
                continue
            try:
                return ask(index)
            except InvalidQuery as wrong:
                raise ValueError(str(wrong)) from wrong
            except UNREADABLE as unreadable:
                error = unreadable
        reason = error or self._damaged.get(f"{stem_of(subject, layer)}.json")
        if reason is not None:
            command = build_command(subject.model, subject.dataset, layer)
            raise DataLost(
                f"the index of model {subject.model!r}, data set {subject.dataset!r} and layer "
                f"{layer!r} is damaged ({reason}): build it again: {command}"
            ) from error
        raise self.missing(subject, layer)

    def _seen(self) -> dict[tuple[Subject, str], LayerIndex]:
        """The indexes as they were last seen, which is not long ago."""
        if time.monotonic() - self._looked > _FRESH:
            self._look(_FRESH)
        return self._known

    def _look(self, within: float = 0) -> None:
        """See which indexes there are, unless that was seen `within` so many seconds. Unreadable
        descriptions count as none.
        """
        with self._lock:
            if (
                within and time.monotonic() - self._looked <= within
            ):  # by another thread, while this one waited
                return
            entries = {
                name: mark for name, mark in self._files.entries().items() if name.endswith(".json")
            }
            found = {
                name: (mark, index)
                for name, mark in entries.items()
                if (index := self._index(name, mark)) is not None
            }
            indexes = [index for _, index in found.values()]
            self._known = {(i.subject, i.layer): i for i in indexes if isinstance(i, LayerIndex)}
            self._outdated = [i for i in indexes if isinstance(i, OutdatedIndex)]
            self._read, self._looked = found, time.monotonic()

    def _index(self, name: str, mark: str) -> LayerIndex | OutdatedIndex | None:
        """The index that a description tells of; it is read unless its mark is known."""
        if name in self._read and self._read[name][0] == mark:
            return self._read[name][1]
        try:
            self._damaged.pop(name, None)
            require_description(self._files, name)
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            if not _DESCRIPTION.search(name):  # a file of somebody else's
                return None
            self._damaged[name] = str(error)
            self._files.set_aside(name, self._quarantine, str(error))
            return None
        about = description(self._files, name)
        if about is None:
            return OutdatedIndex.of(read_description(self._files, name))
        return LayerIndex(about, partial(self._files.local, about["tensors"]))
