"""The shards of a build: what is known of a span of images, in a file of its own, from which the
index is made in the end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.exemplars import ORDERS, ActivationSummary, LayerStatistics, Moments, TopK
from service.datasets.samples import LeftOut
from service.index.files import UNREADABLE, Files, tensors
from service.index.scan import BatchSummaries, Look, ScannedBatch
from service.index.types import IndexPlan

_LOOK_DIGITS = 5  # beyond, the size of a batch could tell
PARTS = ("values", "positions", "ids")  # of a top k
IDS = "ids"  # (N,): the numbers of the images that were seen
COLUMNS = (
    "maximum",
    "minimum",
    "mean",
    "at",
)  # (U, N): each image's maximum, minimum and mean, and where the maximum is


class Damaged(Exception):
    """Shard `number` cannot be read."""

    def __init__(self, number: int, error: Exception) -> None:
        super().__init__(f"shard {number} cannot be read: {error}")
        self.number = number


@dataclass(eq=False)
class ShardParts:
    """What has been seen of the images of a shard so far, batch by batch."""

    ids: list[int] = field(default_factory=list)
    labels: list[int | None] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    _summaries: list[BatchSummaries] = field(default_factory=list)

    @property
    def images(self) -> int:
        """How many images that is, those left out among them."""
        return len(self.ids) + len(self.left_out)

    def add(self, batch: ScannedBatch) -> None:
        """Add the next batch."""
        self.ids += batch.ids
        self.labels += batch.labels
        self.left_out += batch.left_out
        self.looks += batch.looks
        self._summaries += [batch.summaries] if batch.ids else []

    def joined(self, layers: Iterable[str]) -> BatchSummaries:
        """The summaries of all batches, which are given up; none where no image could be used."""
        parts, self._summaries = self._summaries, []
        return {
            layer: ActivationSummary.join([part.pop(layer) for part in parts])
            for layer in layers
            if parts
        }


def shard_name(plan: IndexPlan, number: int) -> str:
    """Name a shard's file.

    Args:
        plan: what is indexed, and how.
        number: of the shard, from 0.

    Returns:
        The name below the root.
    """
    return f"{plan.key}/shard-{number:06}.safetensors"


def save_shard(
    files: Files,
    plan: IndexPlan,
    number: int,
    found: Mapping[str, ActivationSummary],
    shard: ShardParts,
) -> None:
    """Write what was found on the images of a shard, all layers.

    Args:
        files: where it is written.
        plan: what is indexed, and how.
        number: of the shard, from 0.
        found: summaries of the activations, by layer.
        shard: the ids and labels of the shard's images, and which were left out.

    Raises:
        ValueError: an activation is not a number.
    """
    span = plan.shards[number]
    ids = torch.tensor(shard.ids, dtype=torch.int64)
    known = torch.tensor([-1 if label is None else label for label in shard.labels])
    kept: dict[str, Tensor] = {IDS: ids}
    for layer, peaks in found.items():
        whole = LayerStatistics.of(peaks, ids, plan.k, known, plan.labels, plan.kept)
        kept |= {
            f"{layer}/{part}": tensor for part, tensor in _parts(whole, plan.labels, known).items()
        }
        columns = (peaks.maximum, peaks.minimum, peaks.mean, peaks.at_maximum)
        for column, values in zip(COLUMNS, columns, strict=True):
            kept[f"{layer}/{column}"] = values.T
    positions = {layer: peaks.positions for layer, peaks in found.items()}
    about = {
        "plan": plan.key,
        "first": span.start,
        "stop": span.stop,
        "positions": positions,
        "labels": plan.labels,
        "left_out": [asdict(one) for one in shard.left_out],
        "looks": [[round(value, _LOOK_DIGITS) for value in look] for look in shard.looks],
    }
    files.save(shard_name(plan, number), about, kept)


def load_left_out(paths: Sequence[Path]) -> list[LeftOut]:
    """Read which images the shards left out.

    Args:
        paths: files of all shards, in order.

    Returns:
        What was left out, in order.

    Raises:
        Damaged: a shard cannot be read.
    """
    found: list[LeftOut] = []
    for number, path in enumerate(paths):
        try:
            with tensors(path) as (about, _):
                found += [LeftOut(**one) for one in about["left_out"]]
        except UNREADABLE as error:
            raise Damaged(number, error) from error
    return found


def load_looks(paths: Sequence[Path]) -> list[Look]:
    """Read how the images look that the shards looked at; none of shards of an older version.

    Args:
        paths: files of all shards, in order.

    Returns:
        Their measures, in order.

    Raises:
        Damaged: a shard cannot be read.
    """
    found: list[Look] = []
    for number, path in enumerate(paths):
        try:
            with tensors(path) as (about, _):
                found += [
                    (clipped, high, colour) for clipped, high, colour in about.get("looks", [])
                ]
        except UNREADABLE as error:
            raise Damaged(number, error) from error
    return found


def load_ids(paths: Sequence[Path]) -> NDArray[np.int64]:
    """Read the numbers of the images that the shards have seen, in order, (N,).

    Args:
        paths: files of all shards, in order.

    Raises:
        Damaged: a shard cannot be read.
    """
    found = []
    for number, path in enumerate(paths):
        try:
            with tensors(path) as (_, file):
                found.append(file.get_tensor(IDS).numpy().copy())
        except UNREADABLE as error:
            raise Damaged(number, error) from error
    return np.concatenate(found)


def load_shard(path: Path, layer: str) -> LayerStatistics | None:
    """Read the statistics of a layer in a shard's file.

    Args:
        path: of the shard's file.
        layer: its dotted name.

    Returns:
        The statistics; None of a shard whose images were all left out.

    Raises:
        UNREADABLE: one of these errors, where it is no such file or lacks the layer.
    """
    with tensors(path) as (about, file):
        stored = list(file.keys())
        names = {name.removeprefix(f"{layer}/") for name in stored if name.startswith(f"{layer}/")}
        part = {name: file.get_tensor(f"{layer}/{name}").clone() for name in names - set(COLUMNS)}
        images = about["stop"] - about["first"] - len(about["left_out"])
        if not images:
            return None
        positions = about["positions"][layer]
    tops = {order: _top(part, order) for order in ORDERS}
    moments = Moments(
        images, positions, part["moments.mean"], part["moments.squares"], part["moments.active"]
    )
    return LayerStatistics(
        tops, _by_label(part, about["labels"]) if "label.ids" in part else None, moments
    )


def load_column(paths: Sequence[Path], layer: str, column: str, units: slice) -> NDArray[Any]:
    """Read a column of some units over the images of all shards, in the shards' order; no other
    units are read.

    Args:
        paths: files of all shards, in order.
        layer: its dotted name.
        column: one of `COLUMNS`.
        units: which units, by number.

    Returns:
        (U, N), U units by N images.

    Raises:
        Damaged: a shard cannot be read.
    """
    blocks = []
    for number, path in enumerate(paths):
        try:
            with tensors(path) as (about, file):
                if about["positions"]:  # else all images were left out
                    blocks.append(file.get_slice(f"{layer}/{column}")[units].numpy())
        except UNREADABLE as error:
            raise Damaged(number, error) from error
    return np.concatenate(blocks, axis=1)


def _parts(shard: LayerStatistics, labels: int, known: Tensor) -> dict[str, Tensor]:
    """The tensors that a shard is restored from; by label, those of the labels that occur, which
    are few of many.
    """
    parts = {
        f"{name}.{part}": getattr(top, part) for name, top in shard.tops.items() for part in PARTS
    }
    if shard.labels is not None:
        present = torch.tensor(sorted(set(known[known >= 0].tolist())), dtype=torch.int64)
        parts |= {
            f"label.{part}": getattr(shard.labels, part).view(-1, labels, shard.labels.k)[
                :, present
            ]
            for part in PARTS
        }
        parts["label.present"] = present
    moments = shard.moments
    return {
        **parts,
        "moments.mean": moments.mean,
        "moments.squares": moments.squares,
        "moments.active": moments.active,
    }


def _top(part: Mapping[str, Tensor], name: str) -> TopK:
    return TopK.restore(*(part[f"{name}.{column}"] for column in PARTS))


def _by_label(part: Mapping[str, Tensor], labels: int) -> TopK:
    """The best of all labels, of which those that did not occur have none."""
    units, _, k = part["label.ids"].shape
    found = TopK.restore(*(part[f"label.{column}"].flatten(0, 1) for column in PARTS))
    whole = TopK(units * labels, k)
    for all_labels, present in ((whole.keys, found.keys), (whole.positions, found.positions)):
        all_labels.view(units, labels, k)[:, part["label.present"]] = present.view(units, -1, k)
    return whole
