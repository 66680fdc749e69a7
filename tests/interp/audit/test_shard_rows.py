"""No verdict of an audit depends on other rows, threats or attacks, and all randomness is drawn
afresh.
"""

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from interp.attack.pgd import pgd
from interp.audit import shard as audit
from interp.audit.shard import Examples, Plan, PlannedAttack, ShardResult, Threat, streams
from tests.interp.audit.toys_audit import THREATS, WHOLE, case, equal, run
from tests.interp.toys_networks import Counting, images, tricky


def merged(parts: list[ShardResult]) -> ShardResult:
    count = len(parts[0].noise)
    return ShardResult(
        np.concatenate([part.clean for part in parts]),
        [np.concatenate([part.noise[t] for part in parts], 1) for t in range(count)],
        [np.concatenate([part.fooled_at[t] for part in parts], 1) for t in range(count)],
        [np.concatenate([part.worst_at[t] for part in parts]) for t in range(count)],
        np.concatenate([part.corrupted for part in parts], 1),
        np.concatenate([part.augmented for part in parts], 1),
        sum(part.gradients for part in parts),
        sum(part.queries for part in parts),
        [
            Examples(
                *(
                    np.concatenate([getattr(p.examples[t], f.name) for p in parts])
                    for f in fields(Examples)
                )
            )
            for t in range(count)
        ],
    )


def test_a_shard_in_parts_gives_what_it_gives_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x, labels = case()
    whole = run(network, x, labels, WHOLE, first_row=100)
    assert len(np.unique(whole.fooled_at[0])) >= 3  # or there would be little to see
    assert 0 < whole.corrupted.mean() < 1
    equal(run(network, x, labels, WHOLE, first_row=100), whole)
    parts = [
        run(network, x[part], labels[part], WHOLE, first_row=100 + part.start)
        for part in (slice(0, 5), slice(5, 16))
    ]
    equal(merged(parts), whole)
    monkeypatch.setattr(audit, "AT_ONCE", 3)
    counting = Counting(network)
    equal(run(counting, x, labels, WHOLE, first_row=100), whole)
    assert max(len(probe.images) for probe in counting.probes[-12:]) == 3


def test_neither_threats_nor_attacks_depend_on_each_other() -> None:
    network, x, labels = case()
    whole = run(network, x, labels, WHOLE)
    for number, threat in enumerate(THREATS):
        for place, entry in enumerate(WHOLE.attacks):
            alone = run(
                network,
                x,
                labels,
                Plan((threat,), (entry,), ("impulse_noise",), (4,), ("noise",), seed=5),
            )
            np.testing.assert_array_equal(alone.noise[0], whole.noise[number])
            np.testing.assert_array_equal(alone.fooled_at[0][0], whole.fooled_at[number][place])
            np.testing.assert_array_equal(alone.corrupted[0], whole.corrupted[3])
            np.testing.assert_array_equal(alone.augmented[0], whole.augmented[1])


def test_all_randomness_has_streams_of_its_own() -> None:
    uses = ("linf:1/255 noise", "linf:2/255 noise", "linf:1/255 PGD-3", "fog 3", "noise")
    drawn = {
        (seed, use, row): streams(seed, use, [row])[0].random(500)
        for seed in (0, 2**64 - 1)
        for use in uses
        for row in (0, 1)
    }
    table: NDArray[np.float64] = np.asarray(np.corrcoef(np.stack([*drawn.values()])))
    assert np.abs(table - np.eye(len(table))).max() < 0.25
    together = streams(0, "fog 3", [1, 0])
    np.testing.assert_array_equal(together[1].random(500), drawn[0, "fog 3", 0])


def test_noise_and_random_starts_are_drawn_afresh_everywhere() -> None:
    network, x, labels = case(24)
    labels[:] = network.logits(x).argmax(1)
    once = PlannedAttack("once", pgd(steps=1))
    counting = Counting(network)
    run(
        counting,
        x,
        labels,
        Plan(
            (Threat(math.inf, (0.001, 0.002)),),
            (once, once._replace(label="again")),
            eight_bit=False,
        ),
    )
    starts = [
        probe.images
        for probe in counting.probes
        if probe.differentiates and len(probe.images) == len(x)
    ]
    noise = [probe.images for probe in counting.probes[1:3]]
    assert len(starts) >= 2
    moves = [(z - x).sign() for z in [*noise, *starts]]
    for number, one in enumerate(moves):
        for other in moves[:number]:
            assert (one == other).double().mean().item() == pytest.approx(0.5, abs=0.04)


def test_the_same_arrays_come_twice_in_float32() -> None:
    network, x = tricky(torch.float32), images(12, dtype=torch.float32)
    labels = network.logits(x).argmax(1)
    first, second = (run(network, x, labels, WHOLE) for _ in range(2))
    assert save(first.arrays()) == save(second.arrays())
