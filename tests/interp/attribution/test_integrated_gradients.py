"""Integrated gradients add up."""

from interp.attribution.integrated_gradients import integrated_gradients
from interp.layer import LOGITS, LayerPath
from interp.objective import activation
from interp.probe import solve
from tests.interp.toys_networks import images, tricky


def test_more_steps_are_more_complete() -> None:
    network, objective = tricky(), activation([LayerPath(LOGITS, 1)] * 4)
    misses = [
        solve(integrated_gradients(images(4), objective, steps), network).delta
        for steps in (1, 300)
    ]
    assert misses[0] is not None
    assert misses[1] is not None
    assert misses[1].abs().max() < 1e-3 < misses[0].abs().max()
