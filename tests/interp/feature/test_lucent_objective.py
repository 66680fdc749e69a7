"""Lucent's own objectives through the adapter, against lucent's own loss on the same pictures."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lucent.optvis import objectives as lucent
from torch import Tensor, nn

from interp.ascent import Ascent, ascend
from interp.feature.lucent_objective import from_lucent, input_penalty
from interp.feature.params.fourier import Fourier
from interp.layer import UnknownLayer
from interp.network.network import Network
from interp.objective_batch import join
from interp.probe import Probe, solve
from interp.seeds import generators
from interp.step import adam
from tests.interp.toys_networks import images

ROWS = 4


class Blocks(nn.Module):
    """A layer in a block, whose name has a dot, and one beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Tanh())
        self.down = nn.Conv2d(6, 5, 3, stride=2)
        self.head = nn.Linear(5, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.softplus(self.down(self.block(x))).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(Blocks(), (3, 9, 9), [0.4] * 3, [0.3] * 3)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


V6, V5 = drawn(6), drawn(5)
OBJECTIVES: dict[str, Callable[[], Any]] = {
    "neuron": lambda: lucent.neuron("block_0", 2),
    "neuron at": lambda: lucent.neuron("down", 4, x=0, y=3),
    "channel": lambda: lucent.channel("block_1", 5),
    "channel of one row": lambda: lucent.channel("block_1", 5, batch=2),
    "class": lambda: lucent.channel("labels", 3),
    "linear": lambda: lucent.channel("head", 3),
    "neuron_weight": lambda: lucent.neuron_weight("down", V5),
    "channel_weight": lambda: lucent.channel_weight("down", V5),
    "localgroup_weight": lambda: lucent.localgroup_weight("block_0", V6, x=2, y=1, wx=3, wy=2),
    "direction": lambda: lucent.direction("block_0", V6),
    "direction_neuron": lambda: lucent.direction_neuron("down", V5, x=1, y=2),
    "interpolate": lambda: lucent.channel_interpolate("block_1", 1, "down", 2),
    "alignment": lambda: lucent.alignment("down", decay_ratio=3),
    "diversity": lambda: lucent.diversity("block_1"),
    "joint": lambda: (
        lucent.channel("down", 1) + 2 * lucent.channel("block_1", 3) - lucent.neuron("down", 0) / 4
    ),
    "diverse": lambda: lucent.channel("down", 1) - 3 * lucent.diversity("block_1") + 0.5,
    "negative": lambda: -lucent.channel("down", 1, batch=0),
    "sum": lambda: lucent.Objective.sum(
        [lucent.channel("down", unit, batch=unit) for unit in range(ROWS)]
    ),
    "function": lambda: lambda T: T("down").square().mean() + T("block_0")[:2].sum(),
}


def lucents_own(network: Network, x: Tensor, objective: Any) -> tuple[Tensor, Tensor]:
    """Loss and gradient by lucent's way: hooks, one number, backward."""
    x = x.clone().requires_grad_()
    seen: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(
            lambda _, __, output, name=name: seen.__setitem__(name.replace(".", "_"), output)
        )
        for name, module in network.module.named_modules()
        if name
    ]
    seen["labels"] = network.module((x - 0.4) / 0.3)
    for handle in handles:
        handle.remove()
    loss = objective(seen.__getitem__)
    (grad,) = torch.autograd.grad(loss, x)
    return loss.detach(), grad


@pytest.mark.parametrize("name", OBJECTIVES)
def test_score_and_gradient_are_those_of_lucent(network: Network, name: str) -> None:
    objective, x = OBJECTIVES[name](), images(ROWS, 9, torch.float32)
    adapted = from_lucent(objective, ROWS, network.output_shapes)
    assert adapted.coupled
    (answer,) = network.answer([Probe(x, adapted, splittable=False)])
    assert answer.score is not None
    assert answer.grad is not None
    loss, grad = lucents_own(network, x, objective)
    assert grad.any()
    torch.testing.assert_close(answer.score.sum(), -loss, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(answer.grad, -grad, rtol=1e-4, atol=1e-6 * float(grad.abs().max()))


def test_lucents_texts_mean_channels(network: Network) -> None:
    x = images(ROWS, 9, torch.float32)
    texts, objects = (
        from_lucent(o, ROWS, network.output_shapes)
        for o in ("block_0:4", lucent.channel("block_0", 4))
    )
    first, second = network.answer([Probe(x, texts), Probe(x, objects)])
    assert first.score is not None
    assert first.grad is not None
    torch.testing.assert_close(first.grad, second.grad)
    assert texts.layers == ("block.0",)
    expected = network.activations(x, ["block.0"])["block.0"][:, 4].mean()
    torch.testing.assert_close(first.score.sum(), expected)


def test_climbing_lowers_lucents_loss(network: Network) -> None:
    objective = lucent.channel("down", 1) - lucent.diversity("block_1")
    space = Fourier((3, 9, 9), torch.zeros(()))
    adapted = from_lucent(objective, ROWS, network.output_shapes)
    summit = solve(ascend(Ascent(space, adapted, adam(0.05), 30), generators(0, 0, ROWS)), network)
    before, _ = lucents_own(network, space.image(space.start(generators(0, 0, ROWS))), objective)
    after, _ = lucents_own(network, summit.images, objective)
    assert after < before - 0.5


def test_rows_left_out_count_as_zero_and_two_batches_stay_apart(network: Network) -> None:
    x = images(ROWS, 9, torch.float32)
    adapted = from_lucent(lucent.channel("block_1", 2, batch=3), ROWS, network.output_shapes)
    value = network.activations(x, ["block.1"])["block.1"][:, 2].mean((1, 2))
    (part, without) = network.answer(
        [Probe(x[2:], adapted.take(slice(2, 4))), Probe(x[:2], adapted.take(slice(0, 2)))]
    )
    assert part.score is not None
    assert without.score is not None
    torch.testing.assert_close(part.score.sum(), value[3])
    assert without.score.tolist() == [0, 0]
    (both,) = network.answer([Probe(torch.cat([x, x.flip(0)]), join([adapted, adapted]))])
    assert both.score is not None
    torch.testing.assert_close(both.score[:ROWS].sum(), value[3])
    torch.testing.assert_close(both.score[ROWS:].sum(), value[0])


def test_objectives_of_the_picture_itself_become_penalties(network: Network) -> None:
    x = images(ROWS, 9, torch.float32).requires_grad_()
    objective = 0.3 * lucent.blur_input_each_step()
    found = input_penalty(objective)(x, x.new_zeros(len(x)))
    (grad,) = torch.autograd.grad(found.sum(), x)
    (expected,) = torch.autograd.grad(-objective(lambda _: x), x)
    assert found.shape == (ROWS,)
    assert expected.any()
    torch.testing.assert_close(grad, expected)
    with pytest.raises(ValueError, match="picture itself"):
        from_lucent(objective, ROWS, network.output_shapes)
    with pytest.raises(ValueError, match="sees the picture alone"):
        input_penalty(lucent.channel("down", 1))(x, x.new_zeros(len(x)))


def test_what_cannot_be_adapted_is_refused(network: Network) -> None:
    with pytest.raises(UnknownLayer):
        from_lucent(lucent.channel("block_9", 1), ROWS, network.output_shapes)
    with pytest.raises(ValueError, match="one number"):
        from_lucent(lambda T: T("down"), ROWS, network.output_shapes)
