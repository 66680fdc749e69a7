"""Loading, lending and unloading models: who gets which module, and what is left when it goes."""

import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import structlog
import torch
from safetensors.torch import save_file
from torch import nn

from interp.network.architectures import CifarTwin, LeNet5
from service.config import ModelTable
from service.models.zoo import (
    HostedModel,
    ModelBusy,
    ModelError,
    ModelZoo,
    UnknownModel,
    UnknownWeights,
)

TABLE: dict[str, Any] = {
    "factory": "own_networks:make",
    "size": 8,
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
}


def small(classes: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, classes))


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    """A thread that owns the device, as the engine has one."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An importable module for factories."""
    module = ModuleType("own_networks")
    module.make = small  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_networks", module)
    return module


def zoo_of(
    run: Callable[..., Any], weights_dir: Path | None = None, **tables: dict[str, Any]
) -> ModelZoo:
    return ModelZoo(weights_dir, {name: ModelTable(**table) for name, table in tables.items()}, run)


def test_names(run: Callable[..., Any]) -> None:
    names = zoo_of(run, mine=TABLE).available()
    assert list(names) == sorted(names)
    wanted = (
        "mine digits-lenet5 cifar10-plain cifar10-robust lenet5 inceptionv1 cifar_resnet20 "
        "cifar_resnet110 resnet50 googlenet"
    )
    assert set(wanted.split()) <= set(names)
    assert {"vit_b_16", "swin_t", "maxvit_t"} <= set(names)


def test_an_embedded_network(run: Callable[..., Any]) -> None:
    zoo = zoo_of(run)
    model = zoo.load("digits-lenet5")
    assert zoo.get("digits-lenet5") is model
    assert zoo.loaded() == [model]
    assert (model.weights, model.preprocessing.shape, model.classes) == (
        "embedded",
        (1, 32, 32),
        tuple("0123456789"),
    )
    assert model.parameters == sum(p.numel() for p in LeNet5().parameters())
    assert model.memory_bytes == 4 * model.parameters
    assert tuple(i.name for i in model.layers) == model.network.layers
    assert zoo.load("digits-lenet5", "default") is model


@pytest.mark.parametrize("name", ["cifar10-plain", "cifar10-robust"])
def test_the_twins(name: str, run: Callable[..., Any]) -> None:
    if not (
        Path(__file__).parents[3] / "service" / "models" / "weights" / f"{name}.safetensors"
    ).exists():
        pytest.skip(f"{name} is not trained")
    model = zoo_of(run).load(name)
    assert (model.weights, model.preprocessing.shape, model.classes[3]) == (
        "embedded",
        (3, 32, 32),
        "cat",
    )
    assert model.parameters == sum(p.numel() for p in CifarTwin().parameters())


def test_a_model_is_loaded_once_however_often_asked_for(
    run: Callable[..., Any], networks: ModuleType
) -> None:
    made: list[nn.Module] = []
    begin, go_on = threading.Event(), threading.Event()

    def make() -> nn.Module:
        made.append(small())
        begin.set()
        assert go_on.wait(60)
        return made[-1]

    networks.make = make  # type: ignore[attr-defined]
    with ThreadPoolExecutor(8) as pool:
        zoo = zoo_of(run, mine=TABLE)
        asked = [pool.submit(zoo.load, "mine") for _ in range(8)]
        assert begin.wait(60)
        assert (zoo.loading(), zoo.loaded()) == (["mine"], [])
        with pytest.raises(UnknownModel, match="still being loaded"):
            zoo.get("mine")
        with pytest.raises(ModelBusy, match="being loaded"):
            zoo.unload("mine")
        go_on.set()
        assert len({id(future.result()) for future in asked}) == 1
    assert len(made) == 1
    assert zoo.loading() == []


def test_a_failure_leaves_nothing_behind(run: Callable[..., Any], networks: ModuleType) -> None:
    zoo = zoo_of(run, mine=TABLE)
    modules: list[weakref.ref[nn.Module]] = []

    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("its wheels came off")

    def make() -> nn.Module:
        modules.append(weakref.ref(module := Broken()))
        return module

    networks.make = make  # type: ignore[attr-defined]
    with (
        structlog.testing.capture_logs() as log,
        pytest.raises(ModelError, match=r"mine does not run on images of 3 x 8 x 8") as caught,
    ):
        zoo.load("mine")
    assert "wheels" not in str(caught.value)  # callers from afar see that
    assert "its wheels came off" in str(log[0]["exc_info"])
    log.clear()
    del caught
    gc.collect()
    assert modules[0]() is None
    assert (zoo.loading(), zoo.loaded()) == ([], [])
    networks.make = small  # type: ignore[attr-defined]
    assert zoo.load("mine").name == "mine"


def test_what_the_factory_must_make(run: Callable[..., Any], networks: ModuleType) -> None:
    zoo = zoo_of(
        run,
        mine=TABLE,
        gone=TABLE | {"factory": "own_networks:gone"},
        nowhere=TABLE | {"factory": "no_such_module:make"},
    )
    networks.make = lambda: nn.Conv2d(3, 4, 3)  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="one row of logits"):
        zoo.load("mine")
    networks.make = lambda: {"weights": 3}  # type: ignore[attr-defined]
    with pytest.raises(
        ModelError, match=r"models\.mine\.factory 'own_networks:make' returned dict"
    ):
        zoo.load("mine")
    for name, error in (("gone", "AttributeError"), ("nowhere", "ModuleNotFoundError")):
        with (
            structlog.testing.capture_logs() as log,
            pytest.raises(ModelError, match=rf"models\.{name}\.factory .* failed") as caught,
        ):
            zoo.load(name)
        assert error not in str(caught.value)
        assert str(log[0]["said"]).startswith(error)


def test_a_model_in_use_stays(run: Callable[..., Any], networks: ModuleType) -> None:
    zoo = zoo_of(run, mine=TABLE)
    model = zoo.load("mine")
    with zoo.use("mine") as first, zoo.use("mine") as second:
        assert first is second is model
        with pytest.raises(ModelBusy, match="in use by 2 calls"):
            zoo.unload("mine")
    with pytest.raises(RuntimeError, match="the call failed"), zoo.use("mine"):
        raise RuntimeError("the call failed")
    assert zoo.unload("mine") == model.memory_bytes
    for refuse in (zoo.get, zoo.unload):
        with pytest.raises(UnknownModel, match="'mine' is not loaded"):
            refuse("mine")
    with pytest.raises(UnknownModel), zoo.use("mine"):
        pass


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="this system does not tell its memory in /proc"
)
def test_memory_returns(run: Callable[..., Any], networks: ModuleType) -> None:
    size = 200 * 2**20

    def make() -> nn.Module:
        module = nn.Sequential(nn.Flatten(), nn.Linear(192, size // 192 // 4, bias=False))
        module.__dict__["itself"] = module  # a cycle, as hooks and closures make
        return module

    networks.make = make  # type: ignore[attr-defined]
    zoo = zoo_of(run, mine=TABLE)
    zoo.load("mine")
    zoo.unload("mine")  # what the first time costs for good is not counted
    before = resident()
    module = weakref.ref(zoo.load("mine").network.module)
    held = resident() - before
    freed = zoo.unload("mine")
    assert module() is None
    assert held > 0.9 * size
    assert freed == pytest.approx(size, rel=0.001)
    assert resident() - before < 0.1 * size


def test_unknown_names_come_with_the_nearest(run: Callable[..., Any]) -> None:
    zoo = zoo_of(run)
    with pytest.raises(UnknownModel, match=r"did you mean .*resnet50") as caught:
        zoo.load("restnet50")
    assert "resnet50" in caught.value.nearest
    with pytest.raises(UnknownModel) as caught:
        zoo.get("digits-lenet")
    assert caught.value.nearest[0] == "digits-lenet5"
    with pytest.raises(UnknownModel, match=r"no model 'xyzzy'$"):
        zoo.load("xyzzy")


def test_only_names_of_the_catalogue_load(
    run: Callable[..., Any], networks: ModuleType, tmp_path: Path
) -> None:
    networks.make = lambda: pytest.fail("a factory that no setting names was called")  # type: ignore[attr-defined]
    zoo = zoo_of(run, tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    for name in (
        "own_networks:make",
        "own_networks",
        "../x",
        "x",
        str(tmp_path / "x"),
        "vit_b_17",
        "",
    ):
        with pytest.raises(UnknownModel):
            zoo.load(name)
    for weights in (
        str(tmp_path / "x.safetensors"),
        "own_networks:make",
        "IMAGENET1K_V9",
        "__class__",
    ):
        for model in ("resnet18", "lenet5", "digits-lenet5"):
            with pytest.raises(UnknownWeights, match=f"{model} has no weights") as caught:
                zoo.load(model, weights)
            assert caught.value.nearest[:2] == ["default", "random"]
    assert zoo.loaded() == []


def test_other_weights_need_an_unload_first(run: Callable[..., Any]) -> None:
    model = (zoo := zoo_of(run)).load("digits-lenet5", "random")
    assert model.weights == "random"
    assert zoo.load("digits-lenet5", "random") is model
    with pytest.raises(ModelError, match="is loaded with weights 'random'; unload it first"):
        zoo.load("digits-lenet5")
    zoo.unload("digits-lenet5")
    assert zoo.load("digits-lenet5").weights == "embedded"


def test_the_digest_is_that_of_weights_and_preprocessing(
    run: Callable[..., Any], networks: ModuleType
) -> None:
    def digest(model: HostedModel) -> str:
        zoo.unload(model.name)
        return model.digest

    torch.manual_seed(0)
    weights = small().state_dict()

    def make() -> nn.Module:
        module = small()
        module.load_state_dict(weights)
        return module

    networks.make = make  # type: ignore[attr-defined]
    zoo = zoo_of(run, mine=TABLE, same=TABLE, other=TABLE | {"mean": [0.4, 0.5, 0.5]})
    first = digest(zoo.load("mine"))
    assert digest(zoo.load("mine")) == digest(zoo.load("same")) == first
    assert digest(zoo.load("other")) != first
    weights["3.bias"] = weights["3.bias"].clone()
    weights["3.bias"][1] += 1e-6
    assert digest(zoo.load("mine")) != first


def test_random_weights_are_the_same_every_time(run: Callable[..., Any]) -> None:
    models = []
    for _ in range(2):
        torch.rand(3)  # torch's own generator has no part in it
        models.append(zoo_of(run).load("cifar_resnet20", "random"))
    assert models[0].digest == models[1].digest
    assert models[0].digest != zoo_of(run).load("cifar_resnet32", "random").digest


def test_the_bytes_of_a_row_are_measured(run: Callable[..., Any], networks: ModuleType) -> None:
    model = zoo_of(run, mine=TABLE).load("mine")
    image, rectified = 4 * 3 * 8 * 8, 4 * 4 * 6 * 6
    assert rectified <= model.bytes_per_row <= 8 * (image + rectified)


def test_float64(run: Callable[..., Any]) -> None:
    model = ModelZoo(None, {}, run, dtype=torch.float64).load("digits-lenet5")
    assert model.network.dtype == torch.float64
    assert model.memory_bytes == 8 * model.parameters
    assert model.digest == zoo_of(run).load("digits-lenet5").digest  # of the weights as they came
