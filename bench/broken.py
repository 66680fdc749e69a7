"""Whether an audit's checks of itself find broken networks, each by the check that is meant for it,
and leave sound ones alone.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.figure import Figure, Figures
from bench.setting import Setting, cifar
from interp.audit.checks import check_evaluation
from interp.audit.checks.check import Check
from interp.network.network import Network
from interp.probe import solve
from service.datasets import digits, held_out_digits
from tests.interp.audit.toys_broken import GRAY_FAULTS, ZOO, Sound, cifar_resnet, embedded

LINF = ((math.inf, (8 / 255,)),)
NORMS = (*LINF, (2.0, (0.5,)), (1.0, (12.0,)))
COLOUR = ("cifar10-plain", "cifar10-robust", "cifar_resnet20", "cifar_resnet32")
IMAGES, FEW, ATTACKED = (
    256,
    32,
    24,
)  # of a broken network: where accuracies are compared_conditions, elsewhere, and of them attacked
SUBSETS, SUBSET = 20, 48  # of the images of a sound network, half of which are attacked


class Row(NamedTuple):
    """One network of the table.

    Attributes:
        fault: what is broken, "" for a sound network.
        meant: the check that has to find it, "" for a sound network.
        found: the checks that failed; for a sound network those of any subset.
        suspect, runs: how often any check failed, and how often it was asked.
    """

    network: str
    fault: str
    meant: str
    found: tuple[str, ...]
    suspect: int
    runs: int

    @property
    def detected(self) -> bool:
        """Whether the check that is meant for it found it in every run."""
        return self.meant in self.found and self.suspect == self.runs


def broken(place: Setting) -> Figures:
    """The broken networks that are found, and the sound ones that are suspected, over subsets of
    images and seeds.
    """
    data = os.environ.get("STRIATE_DATA")
    names = ("digits-lenet5", *(COLOUR if data else ()))
    rows = [row for name in names for row in table(name)]
    faulty, sound = [row for row in rows if row.fault], [row for row in rows if not row.fault]
    missed = ", ".join(f"{row.network} with {row.fault}" for row in faulty if not row.detected)
    alarms = sum(row.suspect for row in sound)
    return {
        "broken networks found by the check that is meant for them": Figure(
            sum(row.detected for row in faulty) / len(faulty),
            at_least=1.0,
            note=f"of {len(faulty)}; missed: {missed or 'none'}",
        ),
        "sound networks suspected": Figure(
            alarms,
            at_most=0,
            note=f"of {sum(row.runs for row in sound)} runs on {len(sound)} networks",
        ),
    }


def table(name: str, subsets: int = SUBSETS) -> list[Row]:
    """The sound network of that name, on so many random subsets with a seed each, and then with
    every fault that it can have.
    """
    sound, (x, labels) = _sound(name), _images(name)
    found, suspect = set[str](), 0
    for seed in range(subsets):
        chosen = torch.from_numpy(np.random.default_rng(seed).choice(len(x), SUBSET, replace=False))
        failed = failing(
            sound.network(),
            x[chosen],
            labels[chosen],
            NORMS if name == "digits-lenet5" else LINF,
            seed,
            SUBSET // 2,
        )
        suspect += bool(failed)
        found |= set(failed)
    rows = [Row(name, "", "", tuple(sorted(found)), suspect, subsets)]
    some = torch.from_numpy(np.random.default_rng(0).permutation(len(x))[:IMAGES])
    for fault, (breaker, meant) in ZOO.items():
        if sound.shape[0] == 1 and fault not in GRAY_FAULTS:
            continue
        torch.manual_seed(0)  # of networks that draw random numbers
        shown = some if meant == "normalization" else some[:FEW]
        failed = failing(breaker(sound), x[shown], labels[shown], (), 0, ATTACKED)
        rows.append(Row(name, fault, meant, tuple(failed), int(bool(failed)), 1))
    return rows


def failing(
    network: Network,
    x: Tensor,
    labels: Tensor,
    threats: Sequence[tuple[float, Sequence[float]]],
    seed: int,
    attacked: int,
) -> list[str]:
    """The checks that a network fails."""
    mean, std = network._mean.flatten().tolist(), network._std.flatten().tolist()
    checks: list[Check] = solve(
        check_evaluation(x, labels, threats, mean=mean, std=std, seed=seed, attacked=attacked),
        network,
    )
    return [check.name for check in checks if check.status == "failed"]


def _sound(name: str) -> Sound:
    if name.startswith("cifar_resnet"):
        return cifar_resnet(
            int(name.removeprefix("cifar_resnet")), Path(os.environ["STRIATE_DATA"])
        )
    return embedded(name)


def _images(name: str) -> tuple[Tensor, Tensor]:
    if name != "digits-lenet5":
        return cifar("test", 2000)
    pixels, labels = digits()
    held_out = torch.from_numpy(np.flatnonzero(held_out_digits(len(labels))))
    return pixels[held_out].float() / 255, labels[held_out].long()
