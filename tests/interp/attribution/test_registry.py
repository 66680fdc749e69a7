"""Every row of the registry gives what its method gives."""

import pytest
import torch

from interp.attribution.registry import (
    ATTRIBUTION_METHODS,
    AttributionSettings,
    HookedMethod,
    ProcedureMethod,
)
from interp.objective import activation
from interp.probe import solve
from interp.seeds import generators
from tests.interp.attribution.toys_attribution import CLASS
from tests.interp.toys_networks import images, tricky

SETTINGS = AttributionSettings(steps=3, samples=2, layer="down")


@pytest.mark.parametrize("name", ATTRIBUTION_METHODS)
def test_rows_give_values_of_the_sign_that_they_say(name: str) -> None:
    method, network, x = ATTRIBUTION_METHODS[name], tricky(), images(1)
    if isinstance(method, ProcedureMethod):
        objective = activation([CLASS])
        found = solve(method.run(x, objective, SETTINGS, generators(0, 0, 1)), network)
    else:
        found = method.prepare(network, CLASS, SETTINGS)(x, CLASS)
    assert found.values.shape in (x.shape, (1, 1, *x.shape[2:]))
    assert bool((found.values < 0).any()) == method.signed
    assert torch.allclose(found.score.cpu(), network.logits(x)[:, 2].cpu())


def test_baselines_are_the_methods_own_unless_given() -> None:
    x, objective, rows = images(1), activation([CLASS]), generators(0, 0, 1)
    for name, default in (("integrated_gradients", 0.0), ("occlusion", 0.5)):
        method = ATTRIBUTION_METHODS[name]
        assert isinstance(method, ProcedureMethod)
        values = [
            solve(method.run(x, objective, AttributionSettings(baseline=b), rows), tricky()).values
            for b in (None, default, 0.9)
        ]
        assert torch.equal(values[0], values[1])
        assert not torch.allclose(values[0], values[2])


def test_only_methods_with_hooks_take_a_layer() -> None:
    taking = {name for name, method in ATTRIBUTION_METHODS.items() if "layer" in method.settings}
    assert taking == {"grad_cam", "guided_grad_cam"}
    for name in taking:
        method = ATTRIBUTION_METHODS[name]
        assert isinstance(method, HookedMethod)
        assert method.takes_layer
