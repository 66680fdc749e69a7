"""What loading says of networks that are odd, and the mean and std that it refuses."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interp.network.network import Network
from service.config import ModelTable
from service.models.warm_up import warm_up
from service.models.zoo import HostedModel, ModelError, ModelZoo
from service.rpc.validation import InvalidField
from service.rpc.wire.pictures import objective as wire_objective
from striate.v1 import visualize_pb2 as pb
from tests.interp.network.test_backward import Checkpointed, Conflicting, Detached
from tests.interp.toys_networks import MEAN, STD


def test_a_sound_network_has_no_doubts() -> None:
    warm = warm_up(Network(Checkpointed(True), (3, 8, 8), MEAN, STD))
    assert warm.doubts == ()
    assert warm.bytes_per_row > 3 * 8 * 8 * 4


@pytest.mark.parametrize(
    ("module", "doubt"),
    [
        (Conflicting(None), "backward pass fails (one of the variables needed for gradient"),
        (Detached(None), "no gradient leads from the logits to the images"),
    ],
)
def test_what_the_backward_pass_of_odd_networks_does(module: nn.Module, doubt: str) -> None:
    (found,) = warm_up(Network(module, (3, 8, 8), MEAN, STD)).doubts
    assert doubt in found


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., HostedModel]]:
    """Loads a module as a network of one's own, with changes to its table."""
    module = ModuleType("odd_networks")
    monkeypatch.setitem(sys.modules, "odd_networks", module)
    with ThreadPoolExecutor(1) as pool:

        def load(network: nn.Module, **changes: Any) -> HostedModel:
            module.make = lambda: network  # type: ignore[attr-defined]
            table: dict[str, Any] = {"factory": "odd_networks:make", "size": 8}
            table |= {"mean": [0.5] * 3, "std": [0.5] * 3} | changes
            return ModelZoo(None, {"odd": ModelTable(**table)}, pool.submit).load("odd")

        yield load


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x.mean((1, 2, 3)) + 9, x.std((1, 2, 3))], 1)


def test_load_tells_what_it_doubts(load: Callable[..., HostedModel]) -> None:
    assert "odd: the network's backward pass fails" in load(Conflicting(None)).warnings[0]
    assert "all get one class" in load(Constant()).warnings[-1]
    norm = nn.BatchNorm2d(3, track_running_stats=False)
    (warning,) = load(nn.Sequential(norm, nn.Flatten(), nn.Linear(192, 9))).warnings
    assert "from layer 0 (BatchNorm2d) on" in warning


def test_what_no_gradient_leads_back_from_is_refused_for_pictures(
    load: Callable[..., HostedModel],
) -> None:
    model = load(Detached(None))
    assert model.network.without_gradient == {"conv", "head", "logits"}
    for unit in ("conv:1", "neg(head:2)", "logits:0"):
        with pytest.raises(InvalidField, match=r"carries no gradient .*torch\.no_grad") as caught:
            wire_objective.paths(pb.VisualizeRequest(objectives=[unit]), model)
        assert caught.value.field == "objectives[0]"
    sound = load(Checkpointed(False))
    assert wire_objective.paths(pb.VisualizeRequest(objectives=["conv:1"]), sound)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
        ([103.939, 116.779, 123.68], [1.0, 1.0, 1.0]),
        ([127.5] * 3, [127.5] * 3),
        ([0.0] * 3, [255.0] * 3),
        ([0.485, 116.28, 0.406], [0.229, 0.224, 0.225]),
    ],
)
def test_units_of_0_to_255_are_refused(
    load: Callable[..., HostedModel], mean: list[float], std: list[float]
) -> None:
    with pytest.raises(ModelError, match=r"these look like 0\.\.255 units; divide by 255"):
        load(Checkpointed(None), mean=mean, std=std)


@pytest.mark.parametrize("mean", [[-0.5] * 3, [float("nan")] * 3])
def test_a_mean_that_no_pixels_have_is_refused(
    load: Callable[..., HostedModel], mean: list[float]
) -> None:
    with pytest.raises(ModelError, match="each mean must be from 0 to 1"):
        load(Checkpointed(None), mean=mean)


@pytest.mark.parametrize(
    ("mean", "std"), [([0.0] * 3, [1.0] * 3), ([117 / 255] * 3, [1 / 255] * 3)]
)
def test_what_fits_pixels_is_taken(
    load: Callable[..., HostedModel], mean: list[float], std: list[float]
) -> None:
    assert load(Checkpointed(None), mean=mean, std=std).preprocessing.mean == tuple(mean)
