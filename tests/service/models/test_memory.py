"""The budget for loaded models: what does not fit is refused, before it is built where possible."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from service.auth.identity import Identity, Role, acting_as
from service.config import ModelTable
from service.models import builders
from service.models.blueprint import RANDOM
from service.models.catalogue import Catalogue
from service.models.memory import bytes_of_module, planned_bytes
from service.models.zoo import ModelZoo, NoRoom
from service.rpc.errors import status_of

LENET = 246_824  # bytes of the weights of digits-lenet5
RESNET18 = 46_796_608
TABLE: dict[str, Any] = {"size": 8, "mean": [0.5] * 3, "std": [0.5] * 3, "factory": "heavy:make"}


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


@pytest.mark.parametrize("name", Catalogue(None, {}).names)
def test_every_known_network_is_measured_without_memory(name: str) -> None:
    planned = planned_bytes(Catalogue(None, {}).blueprint(name, RANDOM))
    assert planned is not None
    assert planned > 0


@pytest.mark.parametrize("name", ["digits-lenet5", "cifar10-plain", "mnasnet0_5", "regnet_y_400mf"])
def test_what_is_planned_is_what_is_built(name: str) -> None:
    plan = Catalogue(None, {}).blueprint(name, RANDOM)
    assert plan.recipe is not None
    state = builders.build(plan.recipe).state_dict()  # as PyTorch itself lists it
    expected = sum(tensor.nbytes for tensor in state.values())
    assert planned_bytes(plan) == expected == bytes_of_module(plan.build())


def test_what_does_not_fit_is_refused_before_it_is_built(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = ModelZoo(None, {}, run, most_bytes=LENET + RESNET18 - 1)
    zoo.load("digits-lenet5")
    wanted = rf"resnet18 has {RESNET18} bytes.* {LENET} of .*unload one of digits-lenet5 \({LENET}"
    monkeypatch.setattr(Catalogue, "blueprint", _unbuildable(Catalogue.blueprint))
    with pytest.raises(NoRoom, match=wanted) as found:
        zoo.load("resnet18", RANDOM)
    assert status_of(found.value, "id").code == 8
    assert [model.name for model in zoo.loaded()] == ["digits-lenet5"]
    with acting_as(Identity("ann", Role.ADMIN, ("resnet*",))), pytest.raises(NoRoom) as told:
        zoo.load("resnet18", RANDOM)
    assert str(LENET) in str(told.value)
    assert "digits" not in str(told.value)


def _unbuildable(blueprint: Callable[..., Any]) -> Callable[..., Any]:
    """Plans that must not be carried out."""

    def planned(*given: Any) -> Any:
        plan = blueprint(*given)
        object.__setattr__(plan, "build", lambda: pytest.fail("was built"))
        return plan

    return planned


def test_a_model_that_goes_makes_room(run: Callable[..., Any]) -> None:
    zoo = ModelZoo(None, {}, run, most_bytes=LENET + 1000)
    zoo.load("digits-lenet5")
    with pytest.raises(NoRoom):
        zoo.load("cifar10-plain")
    zoo.unload("digits-lenet5")
    for _ in range(3):  # nor does a refusal keep any
        with pytest.raises(NoRoom, match=r"of the 247824 that all may have \(model_bytes\)$"):
            zoo.load("cifar10-plain")
    assert zoo.load("digits-lenet5").name == "digits-lenet5"


def test_a_factory_s_network_is_counted_as_soon_as_it_is_there(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("heavy")
    module.make = lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 1000))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "heavy", module)
    zoo = ModelZoo(None, {"mine": ModelTable(**TABLE)}, run, most_bytes=100_000)
    with pytest.raises(NoRoom, match=f"mine has {4 * (192 * 1000 + 1000)} bytes"):
        zoo.load("mine")
    assert zoo.loaded() == []


def test_the_default_is_half_of_the_memory(run: Callable[..., Any]) -> None:
    assert ModelZoo(None, {}, run)._most_bytes > 2**29
    assert torch.empty(1).device.type == "cpu"  # nothing of the measuring is left behind
