"""Attributions that only ask: against captum on the same function, and against a linear network,
whose shares are known.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, Occlusion, Saliency
from torch import Tensor, nn

from interp.attribution.input_x_gradient import input_x_gradient
from interp.attribution.integrated_gradients import integrated_gradients
from interp.attribution.occlusion import occlusion, window_positions
from interp.attribution.result import Attribution
from interp.attribution.saliency import saliency
from interp.attribution.smooth_grad import smooth_grad
from interp.attribution.variations import MAX_PROBE_ROWS
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from interp.objective import Objective, activation
from interp.probe import Probe, Procedure, solve
from interp.seeds import generators
from tests.interp.toys_networks import Counting, Wired, images, linear, tricky

PATHS = [LayerPath(LOGITS, 3), LayerPath("down", 7), LayerPath("stem", 2, (1, 6))]
Method = Callable[[Tensor, Objective], Procedure[Attribution]]


class Unit(nn.Module):
    """A unit of a hosted network as a plain module of pixels, (B,), for captum."""

    def __init__(self, network: Network, path: LayerPath) -> None:
        super().__init__()
        self.wired, self.path = Wired(network), path
        self.wired.module = network.module

    def forward(self, x: Tensor) -> Tensor:
        seen: dict[str, Tensor] = {}
        part = dict(self.wired.module.named_modules()).get(self.path.layer, self.wired.module)
        handle = part.register_forward_hook(
            lambda _, __, output: seen.update({self.path.layer: output.clone()})
        )
        try:
            self.wired(x)
        finally:
            handle.remove()
        unit = seen[self.path.layer][:, self.path.unit]
        return (
            unit[:, self.path.position[0], self.path.position[1]]
            if self.path.position
            else unit.reshape(len(x), -1).mean(1)
        )


def agree(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert torch.allclose(found, expected.detach().to(found), rtol=1e-6, atol=1e-9), (
        (found - expected).abs().max()
    )


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


def test_more_steps_are_more_complete() -> None:
    network, objective = tricky(), activation([LayerPath(LOGITS, 1)] * 4)
    misses = [
        solve(integrated_gradients(images(4), objective, steps), network).delta
        for steps in (1, 300)
    ]
    assert misses[0] is not None
    assert misses[1] is not None
    assert misses[1].abs().max() < 1e-3 < misses[0].abs().max()


WEIGHT = torch.linspace(-1, 1, 2 * 3 * 36, dtype=torch.float64).view(2, 108).sin()
BIAS = torch.tensor([0.5, -2.0], dtype=torch.float64)


def of_linear(method: Method, x: Tensor) -> Attribution:
    """What a method finds for class 1 of a linear network on images (B, 3, 6, 6)."""
    return solve(
        method(x, activation([LayerPath(LOGITS, 1)] * len(x))), linear(WEIGHT, BIAS, (3, 6, 6))
    )


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


def test_occlusion_by_brute_force() -> None:
    x, w = images(2, size=6), WEIGHT[1].view(3, 6, 6)
    found = of_linear(lambda x, o: occlusion(x, o, window=4, stride=3, baseline=0.5), x).values
    share = (w * (x - 0.5)).sum(1)  # (B, 6, 6): what a pixel's covering costs
    for row, column in ((0, 0), (3, 2), (5, 5)):
        falls = [
            share[:, top : top + 4, left : left + 4].sum((1, 2))
            for top in (0, 3)
            for left in (0, 3)
            if top <= row < top + 4 and left <= column < left + 4
        ]
        agree(found[:, :, row, column], torch.stack(falls).mean(0)[:, None].expand(2, 3))


def test_squares_of_occlusion_are_not_held_together() -> None:
    squares = window_positions(10**6, 10**6, 1, 1)
    assert [next(squares), next(squares)] == [
        (slice(0, 1), slice(0, 1)),
        (slice(0, 1), slice(1, 2)),
    ]


def test_smooth_grad_is_the_mean_over_its_own_noise() -> None:
    network, x, samples = tricky(), images(2), MAX_PROBE_ROWS + 6
    path = LayerPath("down", 4)
    found = solve(
        smooth_grad(x, activation([path] * 2), generators(7, 20, 2), samples, 0.3), network
    ).values
    for row in range(2):
        noise = np.stack(
            [
                generators(7, 20 + row, 1)[0].standard_normal(
                    (samples, *x.shape[1:]), dtype=np.float32
                )
            ]
        )[0]
        noisy = (x[row] + 0.3 * torch.from_numpy(noise)).requires_grad_()
        (grads,) = torch.autograd.grad(Unit(network, path)(noisy).sum(), noisy)
        agree(found[row], grads.mean(0))


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
