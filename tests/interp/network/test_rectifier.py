"""Redirected rectifiers: a gradient for what is shut, and not a bit of difference for what
is open.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.ascent import Ascent, ascend
from interp.feature.params.fourier import Fourier
from interp.layer import LayerPath
from interp.network.network import Network
from interp.network.rectifier import DAMPING, RedirectedRectifiers
from interp.objective import activation
from interp.probe import Probe, solve
from interp.seeds import generators
from interp.step import adam
from tests.interp.toys_networks import Counting, images, passing


def in_place_by_name(x: Tensor) -> Tensor:
    F.relu(x, inplace=True)  # the result is x itself, and is not used
    return x


def in_place_method(x: Tensor) -> Tensor:
    x.relu_()
    return x


RECTIFIERS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu by keyword": lambda x: F.relu(input=x),
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu in place, unused": in_place_by_name,
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "method in place, unused": in_place_method,
}
CAPPED: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "F.relu6 in place": lambda x: F.relu6(x, inplace=True),
    "F.hardtanh": lambda x: F.hardtanh(x, 0.0, 6.0),
}


def through(
    rectify: Callable[[Tensor], Tensor], values: list[float], wanted: list[float]
) -> tuple[list[float], list[float]]:
    """Values and gradients of a redirected rectifier, where `wanted` comes back from above."""
    x = torch.tensor(values, requires_grad=True)
    with RedirectedRectifiers():
        y = rectify(x * 1)
    (grad,) = torch.autograd.grad(y, x, torch.tensor(wanted))
    return y.tolist(), grad.tolist()


@pytest.mark.parametrize("name", RECTIFIERS)
def test_a_shut_rectifier_lets_through_what_would_open_it(name: str) -> None:
    y, grad = through(
        RECTIFIERS[name],
        [-2.0, -2.0, 0.0, 0.0, 3.0, 3.0, 9.0],
        [5.0, -5.0, 5.0, -5.0, 5.0, -5.0, 1.0],
    )
    assert y == [0, 0, 0, 0, 3, 3, 9]
    assert grad == pytest.approx([5 * DAMPING, 0, 5 * DAMPING, 0, 5, -5, 1])


@pytest.mark.parametrize("name", CAPPED)
def test_a_rectifier_with_a_ceiling_is_shut_at_both_ends(name: str) -> None:
    y, grad = through(CAPPED[name], [-2.0, -2.0, 3.0, 3.0, 6.0, 6.0, 9.0, 9.0], [5.0, -5.0] * 4)
    assert y == [0, 0, 3, 3, 6, 6, 6, 6]
    assert grad == pytest.approx([5 * DAMPING, 0, 5, -5, 0, -5 * DAMPING, 0, -5 * DAMPING])


@pytest.mark.parametrize("limits", [(-1.0, 1.0), (0.0, 1.0)])
def test_other_clamps_are_left_alone(limits: tuple[float, float]) -> None:
    y, grad = through(lambda x: F.hardtanh(x, *limits), [-2.0, 0.5, 2.0], [5.0] * 3)
    assert y == [limits[0], 0.5, limits[1]]
    assert grad == [0, 5, 0]


class Gate(nn.Module):
    """On gray, channel 0 is open and channel 1 shut, by its bias; channel 2 is shut for good, as it
    has no weights.
    """

    def __init__(self, rectify: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.gate, self.head = (
            nn.Conv2d(3, 3, 3, padding=1),
            nn.Identity(),
            nn.Linear(3, 2),
        )
        self.rectify = [rectify]  # in a list, so that the layers' names do not depend on it
        with torch.no_grad():
            self.conv.weight.copy_(
                torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(1)) * 0.3
            )
            self.conv.weight[2] = 0
            self.conv.bias.copy_(torch.tensor([9.0, -0.3, -0.3]))  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gate(self.rectify[0](self.conv(x))).mean((2, 3)))  # type: ignore[no-any-return]


def gate(rectify: Callable[[Tensor], Tensor]) -> Network:
    return Network(Gate(rectify), (3, 8, 8), [0.5] * 3, [0.5] * 3, dtype=torch.float64)


@pytest.mark.parametrize(
    "rectify", {**RECTIFIERS, **CAPPED}.values(), ids={**RECTIFIERS, **CAPPED}.keys()
)
def test_a_shut_unit_gets_the_gradient_of_what_its_rectifier_hides(
    rectify: Callable[[Tensor], Tensor],
) -> None:
    network, x = gate(rectify), 0.5 + 0.01 * images(1)
    shut = activation([LayerPath("gate", 1)])
    true, redirected = network.answer([Probe(x, shut), Probe(x, shut, redirect=True)])
    (behind,) = network.answer([Probe(x, activation([LayerPath("conv", 1)]))])
    assert true.grad is not None
    assert redirected.grad is not None
    assert behind.grad is not None
    assert not true.grad.any()
    assert behind.grad.any()
    torch.testing.assert_close(redirected.grad, DAMPING * behind.grad, rtol=1e-12, atol=0)
    assert redirected.score == true.score == 0


def test_of_a_shut_unit_in_a_deep_network_it_is_nearly_that_gradient() -> None:
    torch.manual_seed(0)
    stages = [
        stage
        for width in (3, 32, 32, 32)
        for stage in (nn.Conv2d(width, 32, 3, padding=1), nn.ReLU())
    ]
    last = stages[-2]
    assert isinstance(last, nn.Conv2d)
    nn.init.constant_(last.bias, -9)  # type: ignore[arg-type]
    network = Network(
        nn.Sequential(*stages, nn.Flatten(), nn.Linear(32 * 64, 2)),
        (3, 8, 8),
        [0.5] * 3,
        [0.1] * 3,
        dtype=torch.float64,
    )
    x = images(1)
    (redirected, behind) = network.answer(
        [
            Probe(x, activation([LayerPath("7", 3)]), redirect=True),
            Probe(x, activation([LayerPath("6", 3)])),
        ]
    )
    assert redirected.grad is not None
    assert behind.grad is not None
    assert redirected.score == 0
    assert F.cosine_similarity(redirected.grad.flatten(), behind.grad.flatten(), 0) > 0.99


def climb(network: Counting, units: list[int], redirect: bool = True) -> tuple[Tensor, Tensor]:
    """Ten steps up these channels of the gate: the images, and which rows moved."""
    paths = [LayerPath("gate", unit) for unit in units]
    problem = Ascent(
        Fourier((3, 8, 8), images(1), 0.01), activation(paths), adam(0.5), 10, redirect=redirect
    )
    summit = solve(ascend(problem, generators(0, 0, len(units))), network)
    return summit.images, summit.moved


def test_a_shut_row_climbs_until_it_opens_and_the_others_do_not_notice() -> None:
    network = gate(F.relu)
    with_company, moved = climb(Counting(network), [0, 1, 2])
    assert moved.tolist() == [
        True,
        True,
        False,
    ]  # weights of zero give no gradient, redirected or not
    alone, _ = climb(Counting(network), [0])
    torch.testing.assert_close(with_company[:1], alone, rtol=0, atol=1e-9)
    truly_alone, _ = climb(Counting(network), [0], redirect=False)
    assert torch.equal(alone, truly_alone)
    assert network.activations(with_company, ["gate"])["gate"][1, 1].mean() > 0.1
    stuck, moved = climb(Counting(network), [1], redirect=False)
    assert network.activations(stuck, ["gate"])["gate"][0, 1].mean() == 0
    assert not moved


def test_only_rows_without_gradient_are_asked_again() -> None:
    network, counting = gate(F.relu), Counting(gate(F.relu))
    sizes: list[int] = []
    handle = passing(network, sizes)
    counting.oracle = network
    climb(counting, [0, 1, 0])
    handle.remove()
    again = [p for p in counting.probes if p.redirect]
    assert 1 <= len(again) <= 10
    assert {len(p.images) for p in again} == {1}
    assert set(sizes) == {3, 1}
    assert [len(p.images) for p in counting.probes if not p.redirect] == [3] * 10
    climb(Counting(network), [0])
    counting.probes.clear()
    climb(counting, [0, 0])
    assert not any(p.redirect for p in counting.probes)
