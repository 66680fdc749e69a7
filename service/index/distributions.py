"""How the images' values are distributed: what an index knows of percentiles, quantiles and
histograms, from the columns of all shards.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.exemplars import MOST_IDS, Distribution, RankedBy, order_statistics, sparsity
from service.index.shards import load_column, load_ids
from service.index.types import IndexPlan

BLOCK_CELLS = 2**21  # units times images that are sorted at a time


def distributions(plan: IndexPlan, layer: str, shards: Sequence[Path]) -> dict[str, Tensor]:
    """Find what takes each image's extrema and mean, some units at a time.

    Args:
        plan: what is indexed, and how.
        layer: its dotted name.
        shards: paths of the files of all shards, in order.

    Returns:
        Of all U units the tensors (U, ...) by name: a grid for each order that images are ranked
        by, of what that is largest on the first of them; of the maxima quantiles, a histogram and
        sparsity.

    Raises:
        Damaged: a shard cannot be read.
    """
    units = plan.shapes[layer][0]
    step = max(1, BLOCK_CELLS // plan.images)
    blocks = [
        _block(plan, layer, shards, slice(low, min(low + step, units)))
        for low in range(0, units, step)
    ]
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}


def columns(name: str, values: Tensor, positions: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """Name the tensors of exemplars; a place that no image has taken has id -1.

    Args:
        name: of the order.
        values, positions, ids: (U, k) each, as `TopK` has them.
    """
    return {
        f"{name}.values": values,
        f"{name}.positions": positions.int(),
        f"{name}.ids": ids.where(ids != MOST_IDS, -1),
    }


def _block(plan: IndexPlan, layer: str, shards: Sequence[Path], units: slice) -> dict[str, Tensor]:
    highest = load_column(shards, layer, "maximum", units)
    lowest = load_column(shards, layer, "minimum", units)
    maxima = Distribution.of(highest)
    grids = _grids(maxima.ranked, highest, lowest, load_column(shards, layer, "mean", units))
    places, found = maxima.quantiles(sorted(plan.quantiles))  # among the images that were seen
    ids = load_ids(shards)[places]
    values = torch.from_numpy(maxima.ranked)
    positions = np.take_along_axis(load_column(shards, layer, "at", units), places, 1)
    return {
        **columns(
            "quantile", torch.from_numpy(found), torch.from_numpy(positions), torch.from_numpy(ids)
        ),
        **{f"grid.{order}": torch.from_numpy(grid) for order, grid in grids.items()},
        "histogram": torch.from_numpy(maxima.histogram()),
        "histogram_low": values[:, 0].double(),
        "histogram_high": values[:, -1].double(),
        "active_images": (values > 0).double().mean(1),
        "sparsity": sparsity(values),
    }


def _grids(
    ranked: NDArray[np.float32],
    highest: NDArray[np.float32],
    lowest: NDArray[np.float32],
    means: NDArray[np.float32],
) -> dict[RankedBy, NDArray[np.float32]]:
    """By every order the order statistics of what it ranks by: highest (U, N) sorted, and highest,
    lowest and mean of each image.
    """
    means = np.sort(means, axis=1)
    return {
        "max": order_statistics(ranked),
        "min": order_statistics(0 - np.sort(lowest, axis=1)[:, ::-1]),
        "magnitude": order_statistics(np.sort(np.maximum(highest, -lowest), axis=1)),
        "mean": order_statistics(means),
        "lowest_mean": order_statistics(0 - means[:, ::-1]),
        # a falling and a rising run, which a stable sort merges
        "mean_magnitude": order_statistics(np.sort(np.abs(means), axis=1, kind="stable")),
    }
