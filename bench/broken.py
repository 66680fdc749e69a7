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
from interp.attack.apgd import apgd
from interp.attack.goal import MARGIN
from interp.attack.pgd import pgd
from interp.audit.checks import check_evaluation
from interp.audit.checks.check import Check
from interp.audit.checks.network import check_network
from interp.audit.plan import Plan, PlannedAttack, Threat
from interp.network.network import Network
from interp.probe import solve
from service.datasets import digits, held_out_digits
from tests.interp.audit.toys_broken import (
    GRAY_FAULTS,
    ZOO,
    Sound,
    around,
    cifar_resnet,
    embedded,
    levels,
    straight_through,
)

LINF = ((math.inf, (8 / 255,)),)
THREATS = {  # of the sound networks' audits, in turn
    "colour": (
        Threat(math.inf, (2 / 255, 8 / 255)),
        Threat(2.0, (0.25, 1.0)),
        Threat(1.0, (6.0, 24.0)),
    ),
    "gray": (
        Threat(math.inf, (8 / 255, 32 / 255)),
        Threat(2.0, (1.0, 3.0)),
        Threat(1.0, (12.0, 40.0)),
    ),
}
ATTACKS = (
    PlannedAttack("PGD-20", pgd(steps=20)),
    PlannedAttack("APGD-20", apgd(steps=20, loss=MARGIN)),
)
GRAY, COLOUR = (
    "digits-lenet5",
    ("cifar10-plain", "cifar10-robust", "cifar_resnet20", "cifar_resnet32"),
)
ROUNDED = " behind 8-bit rounding"  # which passes the gradient straight through
# How often each sound network is audited, 100 times in all; the latter where STRIATE_DATA is unset.
RUNS = {
    GRAY: 44,
    GRAY + ROUNDED: 20,
    **dict.fromkeys(COLOUR, 8),
    COLOUR[0] + ROUNDED: 4,
}
RUNS_WITHOUT_DATA = {GRAY: 70, GRAY + ROUNDED: 30}
# Of a broken network: images where accuracies are compared, elsewhere, and of them attacked.
IMAGES, FEW, ATTACKED = 256, 32, 24
SUBSET = 24  # of the images of a sound network, half of which are attacked


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
    """The broken networks that are found, each by the check that is meant for it."""
    names = (GRAY, *(COLOUR if os.environ.get("STRIATE_DATA") else ()))
    rows = [row for name in names for row in faulty(name)]
    missed = ", ".join(f"{row.network} with {row.fault}" for row in rows if not row.detected)
    return {
        "broken networks found by the check that is meant for them": Figure(
            sum(row.detected for row in rows) / len(rows),
            at_least=1.0,
            note=f"of {len(rows)}; missed: {missed or 'none'}",
        )
    }


def audits(place: Setting) -> Figures:
    """The sound networks that a hundred audits suspect, of random subsets of images, with a seed
    each, in one norm after the other, with 8-bit images and with others.
    """
    runs = RUNS if os.environ.get("STRIATE_DATA") else RUNS_WITHOUT_DATA
    rows = [sound_row(name, count) for name, count in runs.items()]
    found = ", ".join(f"{row.network}: {' '.join(row.found)}" for row in rows if row.suspect)
    return {
        "sound networks suspected": Figure(
            sum(row.suspect for row in rows),
            at_most=0,
            note=f"of {sum(row.runs for row in rows)} audits of {len(rows)} networks; "
            f"{found or 'none'}",
        )
    }


def sound_row(name: str, runs: int) -> Row:
    """A sound network's audits, on so many random subsets of images."""
    rounded = name.endswith(ROUNDED)
    sound, (x, labels) = _sound(name.removesuffix(ROUNDED)), _images(name.removesuffix(ROUNDED))
    build = around(straight_through(levels(256))) if rounded else Sound.network
    threats = THREATS["gray" if sound.shape[0] == 1 else "colour"]
    found, suspect = set[str](), 0
    for seed in range(runs):
        chosen = torch.from_numpy(np.random.default_rng(seed).choice(len(x), SUBSET, replace=False))
        plan = Plan(
            (threats[seed % len(threats)],),
            ATTACKS,
            seed=seed,
            eight_bit=rounded or seed % 2 == 0,
        )
        failed = suspected(build(sound), x[chosen], labels[chosen], plan)
        suspect += bool(failed)
        found |= set(failed)
    return Row(name, "", "", tuple(sorted(found)), suspect, runs)


def suspected(network: Network, x: Tensor, labels: Tensor, plan: Plan) -> list[str]:
    """The checks of a whole audit that a network fails."""
    mean, std = network._mean.flatten().tolist(), network._std.flatten().tolist()
    checks = check_network(
        x, labels, plan, mean=mean, std=std, attacked=SUBSET // 2, compared=SUBSET // 2
    )
    return [check.name for check in solve(checks, network).checks if check.status == "failed"]


def faulty(name: str) -> list[Row]:
    """The network of that name with every fault that it can have."""
    sound, (x, labels) = _sound(name), _images(name)
    rows = []
    some = torch.from_numpy(np.random.default_rng(0).permutation(len(x))[:IMAGES])
    for fault, (breaker, meant) in ZOO.items():
        if sound.shape[0] == 1 and fault not in GRAY_FAULTS:
            continue
        torch.manual_seed(0)  # of networks that draw random numbers
        shown = some if meant == "normalization" else some[:FEW]
        threats = LINF if meant.endswith("-linf") else ()
        failed = failing(breaker(sound), x[shown], labels[shown], threats, 0, ATTACKED)
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
    if name != GRAY:
        return cifar("test", 2000)
    pixels, labels = digits()
    held_out = torch.from_numpy(np.flatnonzero(held_out_digits(len(labels))))
    return pixels[held_out].float() / 255, labels[held_out].long()
