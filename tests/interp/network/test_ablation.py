"""Ablation and flips, against computing them by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from interp.attack.base import attack
from interp.attack.pgd import pgd
from interp.attack.unit_flips import activations_under_attack, unit_flips
from interp.layer import UnknownLayer
from interp.network.ablation import ablation_differences, mean_effect
from interp.probe import solve
from tests.interp.toys_networks import MEAN, STD, Tricky, images, normalized, raw, tricky


def without(net: Tricky, pixels: Tensor, layer: str, unit: int) -> Tensor:
    """The logits of a `Tricky` with one unit zeroed, without a hook."""

    def cut(name: str, x: Tensor) -> Tensor:
        return x.index_fill(1, torch.tensor([unit]), 0.0) if name == layer else x

    mean, std = (
        torch.tensor(values, dtype=pixels.dtype).view(1, 3, 1, 1) for values in (MEAN, STD)
    )
    conv, norm = net.stem[0], net.stem[1]
    x = cut("stem.0", F.conv2d((pixels - mean) / std, conv.weight, conv.bias, padding=1))  # type: ignore[arg-type]
    x = cut("stem", F.relu(cut("stem.1", normalized(norm, x))))
    inner = F.relu(F.conv2d(x, net.twice.weight, net.twice.bias, padding=1))
    out = cut("twice", F.conv2d(cut("act", inner), net.twice.weight, net.twice.bias, padding=1))
    x = cut("down", F.conv2d(F.relu(out + x), net.down.weight, net.down.bias, stride=2, padding=1))
    x = F.relu(cut("norm", normalized(net.norm, x)))
    return F.linear(x.mean((2, 3)), net.head.weight, net.head.bias)


@pytest.mark.parametrize("layer", ["stem.0", "stem.1", "stem", "act", "twice", "down", "norm"])
def test_logits_without_a_unit(layer: str) -> None:
    network, x = tricky(), images(3)
    before = network.logits(x)
    moved = 0.0
    for unit in (0, 4, 5, 7):
        expected = without(raw(network), x, "none", unit) - without(raw(network), x, layer, unit)
        found = ablation_differences(network, x, layer, unit)
        assert torch.allclose(found, expected, atol=1e-12)
        moved = max(moved, found.abs().max().item())
    assert moved > 1e-4
    assert torch.equal(network.logits(x), before)
    with pytest.raises(UnknownLayer):
        ablation_differences(network, x, "stemm", 0)


def test_a_logit_loses_itself() -> None:
    network, x = tricky(), images(2)
    found = ablation_differences(network, x, "logits", 3)
    assert torch.equal(found[:, 3], network.logits(x)[:, 3])
    assert not found[:, [0, 1, 2, 4]].any()


def test_mean_and_its_error() -> None:
    found = mean_effect(torch.tensor([[1.0, 4.0], [3.0, 4.0], [8.0, 4.0]]))
    assert found.mean.tolist() == [4, 4]
    assert found.standard_error.tolist() == pytest.approx(
        [(13 / 3) ** 0.5, 0]
    )  # sum of squares 26, over 2, over 3
    assert mean_effect(torch.ones(1, 2)).standard_error.tolist() == [0, 0]


def test_flips_by_hand() -> None:
    clean = torch.tensor([[0.0, 5.0, 1.0], [1.0, 5.0, 2.0], [2.0, 5.0, 3.0], [3.0, 5.0, 4.0]])
    attacked = torch.tensor([[2.0, 6.0, 1.0], [1.0, 5.0, 2.0], [1.0, 5.0, 3.0], [3.0, 4.0, 9.0]])
    found = unit_flips(clean, attacked)
    assert found.share.tolist() == [
        0.5,
        0.25,
        0.0,
    ]  # medians 1.5, 5, 2.5; of the second, 6 alone is above
    spread = 1.25**0.5
    assert found.shift.tolist() == pytest.approx([0.25 / spread, 0, 1.25 / spread])
    assert found.order == [0, 1, 2]
    assert unit_flips(clean, clean).order == [0, 1, 2]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_constant_units_are_not_taken_along(scale: float) -> None:
    """Their spread is float noise, whose multiples mean nothing."""
    clean = torch.tensor([[0.0, 5.0, 0.0], [1.0, 5.0, 0.0], [2.0, 5.0, 0.0], [4.0, 5.0, 0.0]])
    noisy = clean + torch.tensor([[0.0, 4e-7, 1e-9], [0, 0, 0], [0, 4e-7, 1e-9], [0, 0, 0]])
    attacked = noisy + torch.tensor([2.0, 4e-3, -4e-6])
    found = unit_flips(scale * noisy, scale * attacked)
    assert found.share.tolist() == [0.5, 0.0, 0.0]
    assert found.shift.tolist() == pytest.approx([2 / 2.1875**0.5, 0, 0])
    assert found.order == [0, 1, 2]
    # All of a layer may be constant.
    still = unit_flips(scale * noisy[:, 1:2], scale * (noisy[:, 1:2] + 1e-6))
    assert (still.share.tolist(), still.shift.tolist()) == ([0.0], [0.0])


@pytest.mark.parametrize("layer", ["down", "head"])
def test_the_attack_is_the_whole_of_pgd_on_the_prediction(layer: str) -> None:
    network, x = tricky(), images(34)  # more than are attacked at a time
    before, after = solve(activations_under_attack(x, layer, 0.05, 4), network)
    method = pgd(steps=4, random_start=False, keep_best=False, stop_when_fooled=False)
    adversarial = solve(
        attack(x, network.logits(x).argmax(1), method, epsilon=0.05), network
    ).images
    assert (adversarial - x).abs().max() <= 0.05 + 1e-9
    for found, seen in ((before, x), (after, adversarial)):
        expected = network.activations(seen, [layer])[layer]
        assert torch.allclose(
            found, expected.amax((2, 3)) if expected.ndim == 4 else expected, atol=1e-9
        )
