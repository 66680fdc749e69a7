"""What the tests of audits share: a small network, images that it is mostly right about, and a
device that can be made to fail.
"""

import io
import math
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from interp.attack.pgd import fgsm, pgd
from interp.audit.plan import Plan, PlannedAttack, Threat
from interp.audit.result import ShardResult
from interp.audit.shard import audit_shard
from interp.network.network import Network
from interp.probe import Procedure, solve
from interp.rows import Chunks
from service.audit import report_files
from service.audit.journal import Journal
from service.audit.run import AuditRun
from service.audit.spec import AuditProgress, AuditSpec
from service.datasets import Dataset, Source
from service.imaging import Preprocessing
from service.models.zoo import HostedModel

T = TypeVar("T")
SIDE, CLASSES, CHUNK, SHARD = 6, 4, 8, 16
SEEN = Preprocessing(1, SIDE, SIDE, SIDE, "bilinear", (0.5,), (0.25,))
NAMES = ("ant", "bee", "cat", "dog")


class Small(nn.Module):
    """One hidden layer."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv, self.head = nn.Conv2d(1, 6, 3), nn.Linear(6 * (SIDE - 2) ** 2, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().flatten(1))  # type: ignore[no-any-return]


def hosted(name: str = "small", seed: int = 0, digest: str = "") -> HostedModel:
    """A model as the audit sees it."""
    network = Network(Small(seed), (1, SIDE, SIDE), SEEN.mean, SEEN.std)
    parts = SimpleNamespace(
        name=name,
        network=network,
        preprocessing=SEEN,
        digest=digest or f"{seed:064x}",
        classes=NAMES,
    )
    return cast(HostedModel, parts)


def pictures(count: int) -> np.ndarray:
    """(count, SIDE, SIDE) uint8."""
    return np.random.default_rng(7).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)


def dataset(
    count: int,
    item: Callable[[int], tuple[str, bytes, int | None]] | None = None,
    size: int | None = None,
) -> Dataset:
    """Images labelled as the small network of seed 0 sees them, but for every seventh, which is
    labelled wrongly.
    """
    drawn = pictures(count)
    predictions = (
        hosted().network.logits(torch.from_numpy(drawn)[:, None].float() / 255).argmax(1).tolist()
    )

    def one(index: int) -> tuple[str, bytes, int | None]:
        buffer = io.BytesIO()
        Image.fromarray(drawn[index]).save(buffer, "PNG")
        return f"n{index}", buffer.getvalue(), (predictions[index] + (index % 7 == 0)) % CLASSES

    return Dataset(
        "mine", "memory", Source(count if size is None else size, item or one, NAMES, CLASSES)
    )


PLAN = Plan(
    threats=(Threat(math.inf, (4 / 255, 16 / 255)), Threat(2.0, (0.5,))),
    attacks=(
        PlannedAttack("FGSM", fgsm()),
        PlannedAttack("PGD-3", pgd(steps=3)),
    ),
    corruptions=("fog",),
    severities=(2,),
    augmentations=("rotation",),
    seed=5,
)


def job(count: int = 60, **other: Any) -> AuditSpec:
    """An audit of the small network: four shards of 16, 16, 16 and 12 images."""
    usual = AuditSpec(
        models=(hosted(),),
        dataset=dataset(count),
        classes=tuple(range(CLASSES)),
        plan=PLAN,
        images=count,
        confidence=0.9,
        gates=(),
        budget=0,
        shard=SHARD,
        checked=False,
        chunk=CHUNK,
    )
    return replace(usual, **other)


class Died(BaseException):
    """Stands for the death of the server."""


@dataclass
class Device:
    """Solves procedures at once, in order, and dies at the procedure number `dies_at`, counted from
    0.
    """

    dies_at: int | None = None
    done: list[str] = field(default_factory=list)  # names of the models

    def __call__(self, model: HostedModel, procedure: Procedure[T], rows: int) -> "Future[T]":
        if len(self.done) == self.dies_at:
            raise Died
        self.done.append(model.name)
        future: Future[T] = Future()
        future.set_result(solve(procedure, Chunks(model.network, CHUNK)))
        return future


def run(
    assignment: AuditSpec, folder: Path, device: Any = None, cancelled: Callable[[], bool] = bool
) -> tuple[AuditRun, list[AuditProgress]]:
    """Run an audit, or go on with it, to its reports: (the audit, what it told)."""
    told: list[AuditProgress] = []
    audit = AuditRun(
        assignment,
        Journal(folder),
        device or Device(),
        lambda progress, _: told.append(progress),
        cancelled,
    )
    audit.run()
    report_files.write_reports(audit)
    return audit, told


def reports(folder: Path) -> dict[str, bytes]:
    """All that is left in a folder, but for what the audit began with."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "facts.json"}


def at_once(assignment: AuditSpec) -> tuple[ShardResult, np.ndarray, np.ndarray]:
    """(what is found on all images in one go, their labels, their numbers), without any part of the
    run.
    """
    order = np.random.default_rng(assignment.plan.seed).permutation(len(assignment.dataset))[
        : assignment.images
    ]
    x = torch.from_numpy(pictures(len(assignment.dataset))[order])[:, None].float() / 255
    labels = torch.tensor([assignment.dataset.read(int(i), 1)[0].label for i in order])
    network = assignment.models[0].network
    return (
        solve(audit_shard(x, labels, assignment.plan, 0), Chunks(network, CHUNK)),
        labels.numpy(),
        order,
    )
