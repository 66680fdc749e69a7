"""What the tests of tallies and reports share: shards as an audit might have judged them."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from interp.attack.goal import MARGIN
from interp.attack.pgd import fgsm
from interp.audit.plan import Plan, PlannedAttack, Threat
from interp.audit.report import AuditedNetwork, report
from interp.audit.result import Examples, Ints, ShardResult
from interp.audit.statistics import Gate
from interp.audit.tally import NetworkGate, Tally

CLASSES = 4
NAMES = ("a", "b", "c", "d")
LINF, L2 = (1 / 255, 2 / 255, 8 / 255), (0.25, 0.5)
PLAN = Plan(
    (Threat(math.inf, LINF), Threat(2, L2)),
    (PlannedAttack("FGSM", fgsm(loss=MARGIN)), PlannedAttack("two", fgsm())),
    ("fog", "snow"),
    (2, 5),
    ("rotation",),
    seed=3,
)
BARE = Plan((), seed=1)


class Check(NamedTuple):
    name: str = "sound"
    status: str = "passed"
    evidence: str = "none"
    source: str = "here"


def found(rng: np.random.Generator, labels: Ints, plan: Plan, skill: float) -> ShardResult:
    """A shard as `interp.audit.shard.audit_shard` might have judged it, with `skill` in [0, 1]."""
    count = len(labels)
    clean = np.where(rng.random(count) < skill, labels, rng.integers(0, CLASSES, count))
    right = clean == labels
    grids = [len(threat.epsilons) for threat in plan.threats]
    fooled_at = [
        (rng.integers(0, grid + 1, (len(plan.attacks), count)) * right).astype(np.int16)
        for grid in grids
    ]
    (further,) = rng.spawn(1)
    others = [further.integers(0, grid + 1, count) for grid in grids]  # what else was met
    worst_at = [
        np.minimum(by_attacks.min(0, initial=grid), other).astype(np.int16)
        for by_attacks, other, grid in zip(fooled_at, others, grids, strict=True)
    ]
    empty = np.zeros(0, dtype=np.int64)
    return ShardResult(
        clean,
        [(rng.random((grid, count)) < skill) & right for grid in grids],
        fooled_at,
        worst_at,
        rng.random((len(plan.corrupted), count)) < skill,
        rng.random((len(plan.augmentations), count)) < skill,
        int(rng.integers(1000)),
        int(rng.integers(1000)),
        [
            Examples(
                np.zeros((0, 1, 1, 1), dtype=np.uint8),
                empty,
                empty,
                empty,
                empty,
                empty,
                np.zeros(0),
            )
            for _ in grids
        ],
    )


def part(judged: ShardResult, chosen: slice) -> ShardResult:
    """Some images of a shard; the first part has the whole cost."""
    first = chosen.start == 0
    return ShardResult(
        judged.clean[chosen],
        [noise[:, chosen] for noise in judged.noise],
        [fooled_at[:, chosen] for fooled_at in judged.fooled_at],
        [worst_at[chosen] for worst_at in judged.worst_at],
        judged.corrupted[:, chosen],
        judged.augmented[:, chosen],
        judged.gradients if first else 0,
        judged.queries if first else 0,
        judged.examples,
    )


class Case(NamedTuple):
    plan: Plan
    labels: Ints
    judged: list[ShardResult]
    gates: list[NetworkGate]


def case(seed: int, images: int, networks: int = 2, plan: Plan = PLAN, gates: bool = True) -> Case:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES - 1, images)  # of the last class there are none
    judged = [found(rng, labels, plan, skill) for skill in rng.random(networks)]
    bars = (
        [("clean", 0.5), ("linf:2/255", 0.3), ("l2:0.5", 0.1)] if plan.threats else [("clean", 0.5)]
    )
    gated = [
        NetworkGate(n, name, Gate(bar, 0.1, 0.1)) for n in range(networks) for name, bar in bars
    ]
    return Case(plan, labels, judged, gated if gates else [])


def tally(one: Case, cuts: Sequence[int] = (), order: Sequence[int] | None = None) -> Tally:
    """The tally of a case cut into shards at `cuts`, added in an order of their numbers."""
    total = Tally(one.plan, CLASSES, len(one.judged), one.gates)
    edges = [0, *sorted(cuts), len(one.labels)]
    shards = [slice(a, b) for a, b in pairwise(edges)]
    for number in range(len(shards)) if order is None else order:
        shard = shards[number]
        total.add([part(judged, shard) for judged in one.judged], one.labels[shard], shard.start)
    return total


def told(total: Tally, **options: Any) -> dict[str, Any]:
    subjects = [AuditedNetwork(f"net{n}", f"{n}" * 64, [Check()]) for n in range(len(total.sums))]
    facts = {
        "dataset": {"name": "test", "images": total.images, "classes": NAMES},
        "settings": {"shard_images": 64},
        "versions": {"torch": "2"},
    }
    return report(total, options.pop("subjects", subjects), confidence=0.9, **{**facts, **options})


def is_right(judged: ShardResult, label: int, image: int) -> bool:
    return bool(judged.clean[image] == label)


def withstands(
    judged: ShardResult,
    label: int,
    image: int,
    threat: int,
    level: int,
    attacks: Sequence[int] | None = None,
) -> bool:
    """Whether an image withstands some of the attacks; None: all that the audit knows."""
    known = (
        [judged.worst_at[threat]] if attacks is None else list(judged.fooled_at[threat][attacks])
    )
    return is_right(judged, label, image) and all(int(at[image]) > level for at in known)
