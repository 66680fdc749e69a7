"""The finished index of one layer: a tensor file for queries, a table for analysts, and a
description that names both.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from interp.exemplars import ORDERS, LayerStatistics, TopK
from service.auth.identity import current
from service.datasets.samples import summary
from service.index.distributions import columns, distributions
from service.index.files import FORMAT, UNREADABLE, Files, slug, tensors, tensors_digest
from service.index.scan import Look
from service.index.shards import Damaged, load_left_out, load_looks, load_shard
from service.index.types import IndexPlan, Subject, digest
from service.state.sealed import SEAL

FIGURES = (
    "minimum",
    "maximum",
    "maximum_mean",
    "minimum_mean",
    "mean",
    "variance",
    "active_share",
    "active_images",
    "sparsity",
    "histogram_low",
    "histogram_high",
)
KNOWN = {  # what a description says
    *(f.name for f in fields(Subject)),
    "layer",
    "shape",
    "images",
    "k",
    "labels",
    "class_k",
    "quantiles",
    "plan",
    "tensors",
}

Tensors = dict[str, Tensor]


def stem(plan: IndexPlan, layer: str) -> str:
    """Make what the names of a layer's files begin with.

    Args:
        plan: what is indexed, and how.
        layer: its dotted name.

    Returns:
        The text, which is another for another subject or layer.
    """
    return stem_of(plan.subject, layer)


def stem_of(subject: Subject, layer: str) -> str:
    """Make the same of a subject.

    Args:
        subject: the model and the data set.
        layer: its dotted name.

    Returns:
        The text.
    """
    return "-".join(
        (*map(slug, (subject.model, subject.dataset, layer)), digest([asdict(subject), layer]))
    )


def finish(files: Files, plan: IndexPlan, layer: str, shards: Sequence[Path]) -> None:
    """Write the index of a layer from the shards of all images, in order, unless there is a larger
    one.

    Args:
        files: where the index is written.
        plan: what is indexed, and how.
        layer: its dotted name.
        shards: paths of the files of all shards, in order.

    Raises:
        Damaged: a shard cannot be read.
    """
    name = f"{stem(plan, layer)}.json"
    before, old = read_description(files, name), description(files, name)
    if (
        old is not None
        and _extent(old) > (plan.images, plan.k, plan.kept)
        and _readable(files, old)
    ):
        return
    loaded = (_load(number, path, layer) for number, path in enumerate(shards))
    whole = reduce(LayerStatistics.merge, (shard for shard in loaded if shard is not None))
    kept = _reservoirs(whole, plan) | _moments(whole) | distributions(plan, layer, shards)
    about = {
        "format": FORMAT,
        **asdict(plan.subject),
        "layer": layer,
        "shape": plan.shapes[layer],
        "images": plan.images,
        "k": plan.k,
        "labels": plan.labels,
        "class_k": plan.kept,
        "quantiles": sorted(plan.quantiles),
        "plan": plan.key,
        "left_out": summary(load_left_out(shards)),
        "look": _mean_look(load_looks(shards)),
    }
    about["tensors"] = (
        # another name for other content: copies never grow stale
        f"{stem(plan, layer)}-{_content(kept)}.safetensors"
    )
    files.save(about["tensors"], about, kept)
    files.write(f"{stem(plan, layer)}.parquet", _table(kept, about["quantiles"]))
    about |= {"built_by": current.get().name}  # whose operation it is; the content is the same
    about |= {SEAL: about_digest(about)}
    files.write(name, json.dumps(about, sort_keys=True).encode())  # from here on it is the index
    for past in (
        f"{stem(plan, layer)}.safetensors",
        before and before.get("tensors"),
    ):  # of the first format, and of an earlier build or format
        if past and past != about["tensors"]:
            files.remove(past)


def description(files: Files, name: str) -> dict[str, Any] | None:
    """Read the description in a file.

    Args:
        files: where indexes are.
        name: of the file.

    Returns:
        The description; None where there is none, one of another format, or one that lacks
        something.
    """
    about = read_description(files, name)
    if about is None or about.get("format") != FORMAT or not about.keys() >= KNOWN:
        return None
    return about


def read_description(files: Files, name: str) -> dict[str, Any] | None:
    """Read the description in a file, of any format.

    Args:
        files: where indexes are.
        name: of the file.

    Returns:
        The description; None where there is none, or one that cannot be read.
    """
    try:
        return require_description(files, name)
    except UNREADABLE:
        return None


def require_description(files: Files, name: str) -> dict[str, Any]:
    """Read the description in a file, of any format.

    Args:
        files: where indexes are.
        name: of the file.

    Returns:
        The description.

    Raises:
        UNREADABLE: one of these errors, where there is none, or not what was written.
    """
    about = json.loads(files.read(name))
    if not isinstance(about, dict):
        raise ValueError("it is no table")
    if SEAL in about and about[SEAL] != about_digest(about):
        raise ValueError("it is not what was written")
    return about


def about_digest(about: Mapping[str, Any]) -> str:
    """Digest a description, but for the digest that it holds itself.

    Args:
        about: the description, of JSON values.

    Returns:
        64 hexadecimal digits.
    """
    said = {name: value for name, value in about.items() if name != SEAL}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _mean_look(looks: Sequence[Look]) -> list[float] | None:
    """The means of clipped shares, high frequencies and saturations; None of no image."""
    return np.mean(looks, axis=0).tolist() if looks else None


def _load(number: int, path: Path, layer: str) -> LayerStatistics | None:
    try:
        return load_shard(path, layer)
    except UNREADABLE as error:
        raise Damaged(number, error) from error


def _extent(about: dict[str, Any]) -> tuple[int, int, int]:
    return about["images"], about["k"], about["class_k"]


def _readable(files: Files, about: dict[str, Any]) -> bool:
    try:
        with tensors(files.local(about["tensors"])):
            return True
    except UNREADABLE:
        return False


def _reservoirs(whole: LayerStatistics, plan: IndexPlan) -> Tensors:
    """The exemplars by each order, (U, k), and by label, (U, labels, k); a place that no image has
    taken has id -1.
    """
    kept: Tensors = {}
    for order in ORDERS:
        top = whole.tops[order]
        values, positions, ids = top.values, top.positions, top.ids
        if order in ("min", "lowest_mean"):
            values = 0 - values  # not -0 where a unit is shut
        elif order in ("magnitude", "mean_magnitude"):
            values, positions = (
                values.where(positions >= 0, -values),
                positions.where(positions >= 0, ~positions),
            )
        kept |= columns(order, values, positions, ids)
    if whole.labels is not None:
        shape = (-1, plan.labels, plan.kept)
        kept |= columns(
            "label",
            *(
                t.view(shape)
                for t in (whole.labels.values, whole.labels.positions, whole.labels.ids)
            ),
        )
    return kept


def _moments(whole: LayerStatistics) -> Tensors:
    """Figures (U,) that the shards tell."""

    def best(top: TopK) -> Tensor:
        return top.values[:, 0].double()

    tops, moments = whole.tops, whole.moments
    return {
        "minimum": 0 - best(tops["min"]),
        "maximum": best(tops["max"]),
        "maximum_mean": best(tops["mean"]),
        "minimum_mean": 0 - best(tops["lowest_mean"]),
        "mean": moments.mean,
        "variance": moments.variance,
        "active_share": moments.active_share,
    }


def _content(kept: Tensors) -> str:
    """16 hexadecimal digits that name what tensors hold."""
    return tensors_digest(kept)[:16]


def _table(kept: Tensors, quantiles: Sequence[float]) -> bytes:
    """A row a unit: its number, its figures, its quantiles and its histogram, as a parquet file."""
    columns: dict[str, Any] = {"unit": np.arange(len(kept["mean"]), dtype=np.int64)}
    columns |= {name: kept[name].numpy() for name in FIGURES}
    columns |= {
        f"quantile_{share:g}": kept["quantile.values"][:, i].numpy()
        for i, share in enumerate(quantiles)
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table({**columns, "histogram": kept["histogram"].tolist()}), buffer)
    return buffer.getvalue()
