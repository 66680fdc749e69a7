"""Images on which a network's answers are no numbers count in no figure of an audit, and cost
nothing but themselves.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.attack.pgd import pgd
from interp.attack.square import square
from interp.audit.answered import (
    answered_rows,
    check_answered,
    failed_images,
    note_unanswered,
)
from interp.audit.plan import Plan, PlannedAttack, Threat
from interp.audit.result import ShardResult
from interp.audit.shard import audit_shard
from interp.audit.statistics import Gate
from interp.audit.table import rows
from interp.audit.tally import NetworkGate, Tally
from interp.network.network import Network
from interp.probe import solve
from tests.interp.attack.toys_unanswered import (
    CLASSES,
    NanGradient,
    NanLogits,
    hosted,
    pictures,
)

COUNT, BAD = 6, 2
PLAN = Plan(
    threats=(Threat(math.inf, (1 / 255, 4 / 255)), Threat(2, (0.1,))),
    attacks=(PlannedAttack("PGD-2", pgd(steps=2)), PlannedAttack("Square-3", square(queries=3))),
    corruptions=(),
    augmentations=("mirroring",),
)
GATES = [
    NetworkGate(0, "clean", Gate(0.5, 0.05, 0.05)),
    NetworkGate(0, "linf:4/255", Gate(0.5, 0.05, 0.05)),
]
NETWORKS: dict[str, Callable[[], Network]] = {
    "gradient": lambda: hosted(NanGradient()),
    "logits": lambda: hosted(NanLogits()),
}


def images() -> Tensor:
    x = pictures(COUNT)
    x[BAD, :, :3, :3] = 0
    return x


def judged(network: Network, x: Tensor, labels: Tensor, first: int = 0) -> ShardResult:
    shard = audit_shard(x, labels, PLAN, first)
    return solve(note_unanswered(shard, len(x), x.device), network)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_count_is_that_without_the_image(name: str) -> None:
    network, x = NETWORKS[name](), images()
    labels = network.logits(x).argmax(1)
    labels[0] = (labels[0] + 1) % CLASSES  # one that is wrong as it is
    found = judged(network, x, labels)
    assert found.answered.tolist() == [row != BAD for row in range(COUNT)]
    whole = Tally(PLAN, CLASSES, 1, GATES)
    whole.add([found], labels.numpy(), 0)
    parts = Tally(PLAN, CLASSES, 1)
    for low, high in ((0, BAD), (BAD + 1, COUNT)):
        part = judged(network, x[low:high], labels[low:high], low)
        parts.add([part], labels[low:high].numpy(), low)
    ours, theirs = whole.sums[0], parts.sums[0]
    for field in ("trials", "clean", "corrupted", "augmented"):
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field))
    for field in ("noise", "robust", "least"):
        for one, other in zip(getattr(ours, field), getattr(theirs, field), strict=True):
            np.testing.assert_array_equal(one, other)
    assert whole.images == COUNT
    assert int(ours.trials.sum()) == COUNT - 1
    assert [gate.trials for gate in whole.gate_progress] == [COUNT - 1] * 2


def test_networks_are_compared_on_what_both_answer() -> None:
    x = images()
    bad, good = NETWORKS["logits"](), NETWORKS["gradient"]()
    labels = good.logits(x).argmax(1)
    tally = Tally(PLAN, CLASSES, 2)
    tally.add([judged(bad, x, labels), judged(good, x, labels)], labels.numpy(), 0)
    assert tally.sums[0].trials.sum() == COUNT - 1
    assert tally.pairs[0, 1].sum(1).max() <= COUNT - 1


@pytest.mark.parametrize("name", NETWORKS)
def test_the_table_has_no_figures_of_it(name: str) -> None:
    network, x = NETWORKS[name](), images()
    labels = network.logits(x).argmax(1)
    names = [f"n{row}" for row in range(COUNT)]
    found = judged(network, x, labels)
    ids = np.arange(50, 50 + COUNT)
    table = rows(found, PLAN, network="net", ids=ids, names=names, labels=labels.numpy())
    assert table["failure"].tolist() == [name if row == BAD else None for row in range(COUNT)]
    assert table["linf:1/255 PGD-2"][BAD] is None
    assert table["clean_correct"][BAD] is None
    assert table["linf:1/255 PGD-2"][0] is not None
    (words,) = failed_images(found, ids, names)
    assert words.startswith(f"image {50 + BAD} ('n{BAD}'): its {name}")


def test_a_result_survives_its_file() -> None:
    network, x = NETWORKS["gradient"](), images()
    found = judged(network, x, network.logits(x).argmax(1))
    again = ShardResult.read(found.arrays())
    np.testing.assert_array_equal(again.failure, found.failure)
    np.testing.assert_array_equal(again.failed_at, found.failed_at)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_checks_are_made_on_the_others(name: str) -> None:
    network, x = NETWORKS[name](), images()
    labels = torch.zeros(COUNT, dtype=torch.long)
    rows = solve(answered_rows(x, labels), network)
    assert rows.tolist() == [row for row in range(COUNT) if row != BAD]


def test_few_images_without_an_answer_are_tolerated_and_named() -> None:
    found = check_answered(["image 13: its gradient"], 16)
    assert found.status == "passed"
    assert "1 of 16 images have no outcome" in found.evidence
    assert "image 13: its gradient" in found.evidence
    many = check_answered([f"image {number}: x" for number in range(9)], 16)
    assert many.status == "failed"
    assert "and 4 more" in many.evidence
