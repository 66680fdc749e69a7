"""Loading a model beside others: their answers and their device are left alone."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from interp.attack.base import attack
from interp.attack.pgd import pgd
from interp.probe import Probe, Procedure
from service.config import ModelTable, Settings
from service.engine.engine import Engine
from service.engine.limits import EngineLimits
from service.engine.metrics import Metrics
from service.models.zoo import HostedModel, ModelError, ModelZoo

T = TypeVar("T")

TABLE = ModelTable(factory="own_networks:make", size=8, mean=[0.5] * 3, std=[0.5] * 3)


class Normed(nn.Sequential):
    """A network with a batch norm to be folded away."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 4)
        )


class Wrapped(nn.Module):
    """Has such a network within it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Normed()


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An importable module for factories."""
    module = ModuleType("own_networks")
    module.make = Normed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_networks", module)
    return module


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(Metrics(), EngineLimits.for_device("cpu", Settings(threads=1)))
    yield engine
    engine.close(1)


def refuse(call: Callable[[], T]) -> "Future[T]":
    """Stands for a device's thread that nobody may ask anything of."""
    raise AssertionError("the device's thread was asked to do something")


def test_loading_leaves_the_device_to_others(networks: ModuleType) -> None:
    threads = set()

    class Watched(Wrapped):
        def forward(self, x: Tensor) -> Tensor:
            threads.add(threading.current_thread().name)
            return self.inner(x)  # type: ignore[no-any-return]

    networks.make = Watched  # type: ignore[attr-defined]
    zoo = ModelZoo(None, {"mine": TABLE}, refuse)
    assert zoo.load("mine", "random").weights == "random"
    zoo = ModelZoo(None, {"mine": TABLE}, refuse)
    assert zoo.load("mine").network.for_logits is not zoo.get("mine").network.module
    assert threads == {threading.main_thread().name}


def test_the_callers_number_of_threads_is_left_as_it_was(networks: ModuleType) -> None:
    seen, before = set(), torch.get_num_threads()

    class Watched(Wrapped):
        def forward(self, x: Tensor) -> Tensor:
            seen.add(torch.get_num_threads())
            return self.inner(x)  # type: ignore[no-any-return]

    networks.make = Watched  # type: ignore[attr-defined]
    torch.set_num_threads(4)
    try:
        ModelZoo(None, {"mine": TABLE}, refuse).load("mine")
        assert (seen, torch.get_num_threads()) == ({2}, 4)
    finally:
        torch.set_num_threads(before)


def answers(engine: Engine, model: HostedModel, images: Tensor) -> bytes:
    """The bits of a deterministic attack, and of classifying its result."""
    labels = torch.arange(len(images)) % model.network.classes
    method = pgd(steps=3, random_start=False, stop_when_fooled=False)
    found = engine.submit(
        model, attack(images, labels, method, epsilon=4 / 255), deterministic=True
    ).result(60)
    logits = engine.submit(model, logits_of(found.images), deterministic=True).result(60)
    return found.images.numpy().tobytes() + logits.numpy().tobytes()


def logits_of(images: Tensor) -> Procedure[Tensor]:
    answer = yield Probe(images, logits=True)
    assert answer.logits is not None
    return answer.logits


def test_answers_are_the_same_while_other_models_are_loaded(
    engine: Engine, networks: ModuleType
) -> None:
    tables = {f"n{i}": TABLE for i in range(4)}
    zoo = ModelZoo(None, tables, engine.run)
    model = zoo.load("cifar10-plain")
    images = torch.rand(3, *model.network.shape, generator=torch.Generator().manual_seed(0))
    alone = answers(engine, model, images)
    with ThreadPoolExecutor(2) as pool:
        loads = [pool.submit(zoo.load, name, weights) for name in tables for weights in ("",)]
        loads += [pool.submit(zoo.load, "cifar_resnet20", "random")]
        rounds = 0
        while rounds < 3 or not all(load.done() for load in loads):
            assert answers(engine, model, images) == alone
            rounds += 1
        for load in loads:
            loaded = load.result()
            assert loaded.network.for_logits is not loaded.network.module  # it could be traced


def test_a_model_is_the_same_whether_loaded_alone_or_beside_others(
    engine: Engine, networks: ModuleType
) -> None:
    def facts(model: HostedModel) -> object:
        image = torch.full((1, *model.network.shape), 0.3)
        logits = model.network.logits(image).numpy().tobytes()
        return model.digest, model.layers, model.warnings, model.bytes_per_row, logits

    names = ["cifar_resnet20", "cifar_resnet32", "lenet5"]
    alone = {name: facts(ModelZoo(None, {}, engine.run).load(name, "random")) for name in names}
    zoo = ModelZoo(None, {}, engine.run)
    with ThreadPoolExecutor(3) as pool:
        beside = pool.map(lambda name: facts(zoo.load(name, "random")), names)
        assert dict(zip(names, beside, strict=True)) == alone


def test_networks_are_tried_one_at_a_time(networks: ModuleType) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    class Watched(Wrapped):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            try:
                return self.inner(x)  # type: ignore[no-any-return]
            finally:
                with lock:
                    running -= 1

    networks.make = Watched  # type: ignore[attr-defined]
    zoo = ModelZoo(None, {f"n{i}": TABLE for i in range(4)}, refuse)
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(zoo.load, zoo._catalogue._tables))) == 4
    assert most == 1


def test_a_failed_load_holds_up_nobody(networks: ModuleType) -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("its wheels came off")

    zoo = ModelZoo(None, {"mine": TABLE}, refuse)
    networks.make = Broken  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="mine does not run on images of 3 x 8 x 8"):
        zoo.load("mine")
    networks.make = Normed  # type: ignore[attr-defined]
    assert zoo.load("mine").name == "mine"


def test_models_that_a_factory_makes_of_one_module_share_no_part(networks: ModuleType) -> None:
    module = Normed()
    networks.make = lambda: module  # type: ignore[attr-defined]
    zoo = ModelZoo(None, {"one": TABLE, "two": TABLE}, refuse)
    one, two = zoo.load("one"), zoo.load("two")
    parts: list[set[Any]] = [set(model.network.module.modules()) for model in (one, two)]
    assert not parts[0] & parts[1]
    assert one.digest == two.digest
