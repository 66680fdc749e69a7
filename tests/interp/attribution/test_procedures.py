"""Methods that ask for scores and gradients alone: against captum on the same function, and against
a linear network, whose shares are known.
"""

import pytest
from captum.attr import InputXGradient, IntegratedGradients, Occlusion, Saliency
from torch import Tensor

from interp.attribution.input_x_gradient import input_x_gradient
from interp.attribution.integrated_gradients import integrated_gradients
from interp.attribution.occlusion import occlusion
from interp.attribution.result import Attribution
from interp.attribution.saliency import saliency
from interp.attribution.smooth_grad import smooth_grad
from interp.layer import LayerPath
from interp.objective import activation
from interp.probe import solve
from interp.seeds import generators
from tests.interp.attribution.toys_attribution import (
    BIAS,
    PATHS,
    WEIGHT,
    Method,
    Unit,
    agree,
    of_linear,
)
from tests.interp.toys_networks import images, tricky


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_equal_to_captum(path: LayerPath) -> None:
    network = tricky()
    x, unit = images(3), Unit(tricky(), path)
    objective = activation([path] * 3)

    def found(method: Method) -> Attribution:
        return solve(method(x, objective), network)

    pairs: list[tuple[Method, Tensor]] = [
        (saliency, Saliency(unit).attribute(x)),
        (input_x_gradient, InputXGradient(unit).attribute(x)),
        (
            lambda x, o: integrated_gradients(x, o, 13, 0.25),
            IntegratedGradients(unit).attribute(x, 0.25, n_steps=13),
        ),
        (
            lambda x, o: occlusion(x, o, window=3, stride=2, baseline=0.5),
            Occlusion(unit).attribute(
                x, sliding_window_shapes=(3, 3, 3), strides=(3, 2, 2), baselines=0.5
            ),
        ),
    ]
    for method, expected in pairs:
        assert expected.abs().max() > 1e-6
        agree(found(method).values, expected)
    agree(found(saliency).score, unit(x))
    delta = IntegratedGradients(unit).attribute(x, 0.25, n_steps=13, return_convergence_delta=True)[
        1
    ]
    (exact,) = (found(pairs[2][0]).delta,)
    assert exact is not None
    agree(exact, delta)


def test_linear_network() -> None:
    x, w = images(2, size=6), WEIGHT[1].view(3, 6, 6)
    agree(of_linear(saliency, x).values, w.abs().expand_as(x))
    agree(of_linear(input_x_gradient, x).values, w * x)
    path = of_linear(lambda x, o: integrated_gradients(x, o, steps=1, baseline=0.3), x)
    agree(path.values, w * (x - 0.3))
    assert path.delta is not None
    assert path.delta.abs().max() < 1e-9
    agree(
        of_linear(lambda x, o: smooth_grad(x, o, generators(0, 0, 2), 5, 0.2), x).values,
        w.expand_as(x),
    )
    agree(of_linear(saliency, x).score, x.flatten(1) @ WEIGHT[1] + BIAS[1])
