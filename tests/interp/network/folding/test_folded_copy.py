"""The folded copy is made once, and given up when the network is no longer what it was."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interp.attack.losses import cross_entropy
from interp.probe import Probe
from tests.interp.network.toys_odd_networks import (
    LABELS,
    Body,
    built,
    hosted,
)
from tests.interp.toys_networks import images


def halve(module: Any) -> None:
    module.conv.weight.mul_(0.5)


def load(module: Any) -> None:
    module.load_state_dict(built(Body, seed=1).state_dict())


def replace(module: Any) -> None:
    module.norm = nn.Identity()


def exchange(module: Any) -> None:
    module.head.bias = nn.Parameter(torch.ones(4, dtype=torch.float64), requires_grad=False)


def train(module: Any) -> None:
    module.train()


@pytest.mark.parametrize("change", [halve, load, replace, exchange, train])
def test_a_module_that_was_changed_afterwards_answers_for_itself(
    change: Callable[[nn.Module], None],
) -> None:
    network, x = hosted(Body), images(3)
    before = network.logits(x)
    assert network.for_logits is not network.module
    with torch.no_grad():
        change(network.module)
    expected = copy.deepcopy(network.module)((x - 0.4) / 0.3)
    assert not torch.allclose(expected, before)
    torch.testing.assert_close(network.logits(x), expected)


def test_while_a_module_is_hooked_it_answers_for_itself() -> None:
    network, x = hosted(Body), images(2)
    copied = network.for_logits
    handle = network.module.get_submodule("head").register_forward_hook(
        lambda _, __, output: output * 0
    )
    assert not network.logits(x).any()
    handle.remove()
    assert network.for_logits is copied
    assert network.logits(x).any()


def test_a_copy_made_in_inference_mode_can_be_differentiated_later() -> None:
    network, x = hosted(Body), images(3)
    with torch.inference_mode():
        network.logits(x)
    assert network.for_logits is not network.module
    (answer,) = network.answer([Probe(x, cross_entropy(LABELS))])
    assert answer.grad is not None
    assert answer.grad.any()


def test_a_network_whose_forward_pass_fails_is_as_it_was() -> None:
    class Fragile(Body):
        def before(self, x: Tensor) -> Tensor:
            if len(x) == 2:  # as many as the copy is compared on
                raise ZeroDivisionError("on purpose")
            return x

    network = hosted(Fragile)
    versions = [t._version for t in (*network.module.parameters(), *network.module.buffers())]
    assert network.for_logits is network.module
    assert versions == [
        t._version for t in (*network.module.parameters(), *network.module.buffers())
    ]
    assert torch.is_grad_enabled()
    assert network.logits(images(1)).shape == (1, 4)


def test_a_network_that_is_told_not_to_fold_answers_by_itself() -> None:
    network = hosted(Body, fold=False)
    assert network.for_logits is network.module
    assert {id(t) for t in network.weights} == {
        id(t) for t in (*network.module.parameters(), *network.module.buffers())
    }
