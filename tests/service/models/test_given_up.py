"""A load that hangs is given up: its name is free again, and so is the turn that it had."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from service.config import ModelTable
from service.models.zoo import ModelError, ModelZoo
from tests.toys_server import eventually

TABLE = ModelTable(factory="hanging_networks:make", size=8, mean=[0.5] * 3, std=[0.5] * 3)
OTHER = ModelTable(factory="hanging_networks:small", size=8, mean=[0.5] * 3, std=[0.5] * 3)
SECONDS = 1.0


def small() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4))


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    module = ModuleType("hanging_networks")
    module.small = small  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hanging_networks", module)
    module.gate = threading.Event()  # type: ignore[attr-defined]
    yield module
    module.gate.set()


@pytest.fixture
def zoo() -> Iterator[ModelZoo]:
    with ThreadPoolExecutor(1) as device:
        yield ModelZoo(None, {"mine": TABLE, "other": OTHER}, device.submit, seconds=SECONDS)


def hanging_factory(gate: threading.Event) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        gate.wait(60)
        return small()

    return make


def hanging_network(gate: threading.Event) -> Callable[[], nn.Module]:
    class Hangs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small()

        def forward(self, x: torch.Tensor) -> Any:
            gate.wait(60)
            return self.inner(x)

    return Hangs


@pytest.mark.parametrize("make", [hanging_factory, hanging_network])
def test_a_load_that_hangs_is_given_up(
    networks: Any, zoo: ModelZoo, make: Callable[[threading.Event], Callable[[], nn.Module]]
) -> None:
    networks.make = make(networks.gate)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(zoo.load, "mine") for _ in range(2)]
        for load in both:
            with pytest.raises(ModelError, match="was not loaded within 1 seconds"):
                load.result(60)
    assert (zoo.loading(), zoo.loaded()) == ([], [])
    networks.make = small
    if make is hanging_factory:  # the other one holds torch's own lock of traces
        assert zoo.load("mine").name == "mine"
        networks.gate.set()
        eventually(lambda: not any(one.name == "load" for one in threading.enumerate()))
        # what ended too late has changed nothing
        assert [model.name for model in zoo.loaded()] == ["mine"]
