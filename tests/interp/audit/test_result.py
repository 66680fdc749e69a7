"""What was judged goes through a file unchanged; the gallery's choice."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load, save

from interp.audit.result import Examples, nearest_examples
from interp.audit.shard import Plan, ShardResult
from tests.interp.audit.toys_audit import RANDOM, THREATS, WHOLE, case, equal, run


def through_a_file(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return load(save(arrays))


@pytest.mark.parametrize(
    "plan", [WHOLE, Plan(()), Plan(THREATS), Plan(THREATS, (RANDOM,), eight_bit=False)]
)
def test_what_was_judged_survives_a_file(plan: Plan) -> None:
    network, x, labels = case(6)
    judged = run(network, x, labels, plan, first_row=3)
    again = ShardResult.read(through_a_file(judged.arrays()))
    equal(again, judged)
    assert (again.gradients, again.queries) == (judged.gradients, judged.queries)
    assert type(again.gradients) is int


def test_the_foremost_examples_are_those_of_the_smallest_epsilons() -> None:
    rng = np.random.default_rng(0)
    parts = []
    for shard in range(4):
        row = np.sort(rng.choice(10, 6, replace=False)) + 10 * shard
        epsilon, prediction = rng.integers(0, 4, 6), rng.integers(0, 9, 6)
        pixels = rng.integers(0, 255, (6, 3, 2, 2), dtype=np.uint8)
        parts.append(
            Examples(
                pixels,
                row,
                rng.integers(0, 2, 6),
                rng.integers(-1, 2, 6),
                epsilon,
                prediction,
                rng.random(6),
            )
        )
    ranked = sorted(
        (int(e), int(row)) for part in parts for e, row in zip(part.epsilon, part.row, strict=True)
    )
    for count in (0, 3, 9, 100):
        found = nearest_examples(parts, count)
        assert [*zip(found.epsilon.tolist(), found.row.tolist(), strict=True)] == ranked[:count]
        so_far = parts[2]
        for part in (parts[3], parts[0], parts[1]):
            so_far = nearest_examples([so_far, part], count)
        np.testing.assert_array_equal(so_far.images, found.images)
        for place, row in enumerate(found.row.tolist()):
            home = parts[row // 10]
            for field in fields(Examples):
                np.testing.assert_array_equal(
                    getattr(found, field.name)[place], getattr(home, field.name)[home.row == row][0]
                )
