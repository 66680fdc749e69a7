"""The shards of a build: what is known of a span of images, in a file of its own, from which the index is made in the end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.exemplars import ORDERS, Moments, Peaks, Shard, TopK
from service.index_files import UNREADABLE, Files, tensors
from service.index_types import Plan

COLUMNS = ("maximum", "mean", "at")  # (U, N): each image's maximum, its mean, and where the maximum is


class Damaged(Exception):
    """Shard `number` cannot be read."""

    def __init__(self, number: int, error: Exception) -> None:
        super().__init__(f"shard {number} cannot be read: {error}")
        self.number = number


def shard_name(plan: Plan, number: int) -> str:
    """The name of a shard's file."""
    return f"{plan.key}/shard-{number:06}.safetensors"


def save_shard(files: Files, plan: Plan, number: int, found: Mapping[str, Peaks], labels: Sequence[int | None]) -> None:
    """Write what was found on the images of shard `number`, all layers. Raises ValueError: an activation is not a number."""
    span = plan.shards[number]
    ids = torch.arange(span.start, span.stop)
    known = torch.tensor([-1 if label is None else label for label in labels])
    kept: dict[str, Tensor] = {}
    for layer, peaks in found.items():
        shard = Shard.of(peaks, ids, plan.k, known, plan.labels, plan.kept)
        kept |= {f"{layer}/{part}": tensor for part, tensor in _parts(shard).items()}
        for column, values in zip(COLUMNS, (peaks.maximum, peaks.mean, peaks.at_maximum), strict=True):
            kept[f"{layer}/{column}"] = values.T
    positions = {layer: peaks.positions for layer, peaks in found.items()}
    files.save(shard_name(plan, number), {"plan": plan.key, "first": span.start, "stop": span.stop, "positions": positions}, kept)


def load_shard(path: Path, layer: str) -> Shard:
    """The statistics of a layer in a shard's file. Raises one of UNREADABLE."""
    with tensors(path) as (about, file):
        names = {name.removeprefix(f"{layer}/") for name in file.keys() if name.startswith(f"{layer}/")}  # noqa: SIM118 - no dict
        part = {name: file.get_tensor(f"{layer}/{name}").clone() for name in names - set(COLUMNS)}
        images, positions = about["stop"] - about["first"], about["positions"][layer]
    tops = {order: _top(part, order) for order in ORDERS}
    moments = Moments(images, positions, part["moments.mean"], part["moments.squares"], part["moments.active"])
    return Shard(tops, _top(part, "label") if "label.ids" in part else None, moments)


def load_column(paths: Sequence[Path], layer: str, column: str, units: slice) -> NDArray[Any]:
    """A column (U, N) of some units, over the images of all shards, in the shards' order; no other units are read.

    Raises:
        Damaged: a shard cannot be read.
    """
    blocks = []
    for number, path in enumerate(paths):
        try:
            with tensors(path) as (_, file):
                blocks.append(file.get_slice(f"{layer}/{column}")[units].numpy())
        except UNREADABLE as error:
            raise Damaged(number, error) from error
    return np.concatenate(blocks, axis=1)


def _parts(shard: Shard) -> dict[str, Tensor]:
    tops = shard.tops if shard.labels is None else {**shard.tops, "label": shard.labels}
    parts = {f"{name}.{part}": getattr(top, part) for name, top in tops.items() for part in ("values", "positions", "ids")}
    moments = shard.moments
    return {**parts, "moments.mean": moments.mean, "moments.squares": moments.squares, "moments.active": moments.active}


def _top(part: Mapping[str, Tensor], name: str) -> TopK:
    return TopK.restore(part[f"{name}.values"], part[f"{name}.positions"], part[f"{name}.ids"])
