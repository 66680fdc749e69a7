"""A replica of a network: the same function with the same tensors, and hooks of its own."""

import pytest
import torch
from torch import Tensor, nn

from interp.layer import LOGITS
from interp.network.network import Network
from interp.network.shared_copy import shared_copy
from tests.interp.toys_networks import images, tricky

LAYERS = ["stem", "twice", "down", LOGITS]


def test_the_replica_gives_what_the_network_gives() -> None:
    network, x = tricky(), images(2)
    expected, found = (one.activations(x, LAYERS) for one in (network, network.replica()))
    for layer in LAYERS:
        torch.testing.assert_close(found[layer], expected[layer])


def test_tensors_are_shared_and_modules_are_not() -> None:
    network = tricky()
    twin = network.replica()
    assert [id(t) for t in twin.module.parameters()] == [id(t) for t in network.module.parameters()]
    assert [id(t) for t in twin.module.buffers()] == [id(t) for t in network.module.buffers()]
    assert not set(twin.module.modules()) & set(network.module.modules())


@pytest.mark.parametrize("outer", ["network", "replica"])
def test_passes_run_beside_each_other(outer: str) -> None:
    """In the middle of a pass of the one, the other runs one of its own."""
    network, x = tricky(), images(3)
    twin = network.replica()
    first, second = (network, twin) if outer == "network" else (twin, network)
    expected = tricky().activations(x, LAYERS)
    inner: list[dict[str, Tensor]] = []
    part = first.module.get_submodule("down")
    part.register_forward_hook(lambda *_: inner.append(second.activations(x[:1], ["down"])))
    found = first.activations(x, LAYERS)
    for layer in LAYERS:
        torch.testing.assert_close(found[layer], expected[layer])
    (meanwhile,) = inner
    torch.testing.assert_close(meanwhile["down"], expected["down"][:1])


def test_a_copy_has_the_very_tensors_that_parts_hold_without_registering_them() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))
            self.plain = torch.ones(2)
            self.derived = self.weight * 2  # in a graph: torch refuses to copy it

    module = Table()
    twin = shared_copy(module)
    assert twin is not module
    for name in ("weight", "plain", "derived"):
        assert getattr(twin, name) is getattr(module, name)


def test_a_replica_of_a_replica() -> None:
    network: Network = tricky().replica()
    torch.testing.assert_close(network.replica().logits(images(1)), network.logits(images(1)))
