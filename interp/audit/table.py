"""The table of an audit: a row an image and network."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from interp.attack.unanswered import Failure
from interp.audit.findings import finder_name
from interp.audit.plan import Plan, column_names
from interp.audit.result import Ints, ShardResult

FAILURE = "failure"  # the last column


def rows(
    judged: ShardResult,
    plan: Plan,
    *,
    network: str,
    ids: ArrayLike,
    names: Sequence[str],
    labels: Ints,
    first: int = 0,
) -> dict[str, NDArray[Any]]:
    """The columns of a shard's images on one network, (B,) each.

    id, name, label (class), network, clean_prediction (class) and clean_correct, then those of
    `interp.audit.plan.column_names`, bool: right. Only a "minimal_epsilon" is float64, in pixel
    units: 0 for an image that is wrong as it is, not a number where nothing was found, and a
    "found_by" the name of who found it, "" for these two. Last comes failure, None or what of the
    network's answers is no number: "gradient" or "logits"; then the other columns are None but for
    the first four.

    Args:
        judged: the shard on one network.
        plan: of the audit.
        network: its name.
        ids: (B,) numbers of the images in the data set.
        names: of the images.
        labels: (B,) their classes.
        first: place of the first image in the audit's order.
    """
    columns: dict[str, NDArray[Any]] = {
        "id": np.asarray(ids, dtype=np.int64),
        "name": np.array(names, dtype=object),
        "label": labels,
        "network": np.full(len(labels), network, dtype=object),
        "clean_prediction": judged.clean,
        "clean_correct": judged.right(labels),
    }
    columns |= dict(zip(column_names(plan), _cells(judged, plan, labels, first), strict=True))
    failed = ~judged.answered
    for name in columns.keys() - {"id", "name", "label", "network"} if failed.any() else ():
        columns[name] = columns[name].astype(object)
        columns[name][failed] = None
    kinds = [Failure(int(kind)).name.lower() for kind in judged.failure]
    no_outcome = np.array([None if kind == "none" else kind for kind in kinds], dtype=object)
    return columns | {FAILURE: no_outcome if kinds else np.full(len(labels), None, dtype=object)}


def _cells(judged: ShardResult, plan: Plan, labels: Ints, first: int) -> Iterator[NDArray[Any]]:
    for number, threat in enumerate(plan.threats):
        for level in range(len(threat.epsilons)):
            yield judged.noise[number][level]
            yield from judged.fooled_at[number] > level
        yield np.array([*threat.epsilons, np.nan, 0.0])[
            judged.least(number, labels)
        ]  # the last is at index -1
        yield _found_by(judged, plan, number, first)
    yield from judged.corrupted
    yield from judged.augmented


def _found_by(judged: ShardResult, plan: Plan, threat: int, first: int) -> NDArray[Any]:
    names, examples = np.full(len(judged.clean), "", dtype=object), judged.examples[threat]
    columns = (examples.row - first, examples.finder, examples.under)
    for place, finder, under in zip(*(column.tolist() for column in columns), strict=True):
        names[place] = finder_name(plan, threat, finder, under)
    return names
