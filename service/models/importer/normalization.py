"""Checkpoints of networks that normalize their images themselves: mean and std are taken out, and
become those of the preprocessing, so that what is left is the network behind them.

So do the networks of RobustBench (buffers `mu` and `sigma`, or a module `normalize` before the
network) and those of the Madry Lab's `robustness` library (`normalizer.new_mean`, `new_std`).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from service.models.checkpoints import ModelError
from service.models.state_dicts import StateDict

_MEAN = re.compile(r"(?P<before>(?:.*\.)?)(?P<name>new_mean|mean|mu)")
_STD = {"new_mean": "new_std", "mean": "std", "mu": "sigma"}
_CHANNELS = (1, 3)


def without_normalization(found: list[StateDict]) -> tuple[list[StateDict], dict[str, Any]]:
    """Take mean and std out of a checkpoint's tables.

    Args:
        found: the tables.

    Returns:
        The tables without them; and `mean` and `std` as a settings table has them, one value a
        channel, or nothing where there are none.

    Raises:
        ModelError: there are several that differ.
    """
    pairs = [pair for table in found for pair in _pairs(table)]
    if not pairs:
        return found, {}
    if any(not torch.equal(one, other) for pair in pairs for one, other in _beside(pair, pairs[0])):
        raise ModelError(
            "several means and stds of images stand in it, which differ: say which network is "
            "meant by saving it alone"
        )
    taken = {id(tensor) for pair in pairs for tensor in pair}
    rest = [
        replace(t, tensors={k: v for k, v in t.tensors.items() if id(v) not in taken})
        for t in found
    ]
    mean, std = (tensor.flatten().tolist() for tensor in pairs[0])
    return [table for table in rest if table.tensors], {"mean": mean, "std": std}


def _pairs(table: StateDict) -> Iterator[tuple[Tensor, Tensor]]:
    """Every mean of images and its std."""
    for name, mean in table.tensors.items():
        match = _MEAN.fullmatch(name)
        std = table.tensors.get(f"{match['before']}{_STD[match['name']]}") if match else None
        if std is not None and mean.shape == std.shape and mean.numel() in _CHANNELS:
            yield mean, std


def _beside(
    pair: tuple[Tensor, Tensor], first: tuple[Tensor, Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    return ((one.flatten(), other.flatten()) for one, other in zip(pair, first, strict=True))
