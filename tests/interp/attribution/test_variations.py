"""Variations of an image: small probes, and the same result in any company."""

from collections.abc import Callable
from typing import Any

import pytest

from interp.attribution.integrated_gradients import integrated_gradients
from interp.attribution.occlusion import occlusion
from interp.attribution.smooth_grad import smooth_grad
from interp.attribution.variations import MAX_PROBE_ROWS
from interp.layer import LOGITS, LayerPath
from interp.objective import activation
from interp.probe import Probe, solve
from interp.seeds import generators
from tests.interp.attribution.toys_attribution import (
    agree,
)
from tests.interp.toys_networks import Counting, images, tricky


@pytest.mark.parametrize("rows", [[0], [2, 0]])
def test_an_image_has_the_same_shares_in_any_company(rows: list[int]) -> None:
    network, x, paths = tricky(), images(3), [LayerPath(LOGITS, c) for c in (0, 4, 2)]
    methods: list[Callable[..., Any]] = [
        lambda x, o, rows: integrated_gradients(x, o, 9),
        lambda x, o, rows: occlusion(x, o, 4, 4),
        lambda x, o, rows: smooth_grad(x, o, [generators(1, row, 1)[0] for row in rows], 9),
    ]
    for method in methods:
        whole = solve(method(x, activation(paths), range(3)), network)
        part = solve(method(x[rows], activation([paths[row] for row in rows]), rows), network)
        agree(part.values, whole.values[rows])


def test_probes_stay_small_and_occlusion_asks_for_no_gradient() -> None:
    objective = activation([LayerPath(LOGITS, 0)] * 2)
    for method, gradients in (
        (
            integrated_gradients(images(2), objective, 3 * MAX_PROBE_ROWS + 1),
            2 * (3 * MAX_PROBE_ROWS + 1),
        ),
        (occlusion(images(2, size=12), objective, 1, 1), 0),
    ):
        counting = Counting(tricky())
        solve(method, counting)
        assert max(len(probe.images) for probe in counting.probes) <= MAX_PROBE_ROWS
        assert sum(counting.gradients) == gradients
    assert isinstance(counting.probes[0], Probe)
