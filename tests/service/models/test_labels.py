"""Class names that a load brings along, for every way in which a network can be had."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from service.config import ModelTable
from service.models.bundles.export import export
from service.models.zoo import ModelError, ModelZoo

NAMES = ("rose", "tulip", "lily")
KEPT = [f"digit {i}" for i in range(10)]


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("own_networks")
    module.make = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3))  # type: ignore[attr-defined]
    module.one = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 1))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_networks", module)


def factory(name: str) -> ModelTable:
    return ModelTable(factory=f"own_networks:{name}", size=8, mean=(0.5,), std=(0.5,))


def test_of_a_file_in_the_weights_folder(tmp_path: Path, run: Callable[..., Any]) -> None:
    state = torchvision.models.shufflenet_v2_x0_5(num_classes=3).state_dict()
    save_file(state, tmp_path / "shufflenet_v2_x0_5.safetensors")
    zoo = ModelZoo(tmp_path, {}, run)
    told = (
        r"shufflenet_v2_x0_5.safetensors has 3 classes, .*fc.weight tells, but 2 labels are given"
    )
    with pytest.raises(ModelError, match=told):
        zoo.load("shufflenet_v2_x0_5", labels=NAMES[:2])
    model = zoo.load("shufflenet_v2_x0_5", labels=NAMES)
    assert model.classes == NAMES
    assert not any("they are called" in warning for warning in model.warnings)


def test_of_embedded_and_random_weights(run: Callable[..., Any]) -> None:
    zoo = ModelZoo(None, {}, run)
    told = "digits-lenet5 has 10 classes with the weights embedded, but 3 labels are given"
    with pytest.raises(ModelError, match=told):
        zoo.load("digits-lenet5", labels=NAMES)
    assert zoo.load("digits-lenet5", labels=KEPT).classes == tuple(KEPT)
    assert zoo.load("cifar_resnet20", "random", NAMES).classes == NAMES


def test_in_place_of_those_of_a_settings_table(run: Callable[..., Any]) -> None:
    tables = {
        "mine": factory("make").model_copy(update={"labels": ("a", "b", "c")}),
        "is_it": factory("one"),
    }
    zoo = ModelZoo(None, tables, run)
    with pytest.raises(ModelError, match="mine has 3 classes, but 2 labels are given"):
        zoo.load("mine", labels=NAMES[:2])
    assert zoo.load("mine", labels=NAMES).classes == NAMES
    one = zoo.load("is_it", labels=("no", "yes"))  # one output is two logits then
    assert one.network.logits(torch.rand(2, 1, 8, 8)).shape == (2, 2)


def test_of_a_bundle(tmp_path: Path, run: Callable[..., Any]) -> None:
    own = ModelZoo(None, {}, run).load("cifar_resnet20", "random")
    with (tmp_path / "carried.striate").open("wb") as file:
        export(own, file)
    zoo = ModelZoo(tmp_path, {}, run)
    with pytest.raises(ModelError, match="carried has 10 classes, but 3 labels are given"):
        zoo.load("carried", labels=NAMES)
    assert zoo.load("carried", labels=KEPT).classes == tuple(KEPT)


def test_a_loaded_model_keeps_its_own(run: Callable[..., Any]) -> None:
    zoo = ModelZoo(None, {}, run)
    model = zoo.load("digits-lenet5", labels=KEPT)
    assert zoo.load("digits-lenet5") is zoo.load("digits-lenet5", labels=KEPT) is model
    told = r"is loaded with other labels, digit 0, digit 1, digit 2, ... \(10\); unload it first"
    with pytest.raises(ModelError, match=told):
        zoo.load("digits-lenet5", labels=KEPT[::-1])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("\ufeffrose\r\n\r\n tulip \r\nlily\r\n".encode(), None),
        ("rose\ntulip\nlily".encode("utf-16"), "no text in UTF-8"),
        (b'["rose", "tulip",\n"lily"]', "looks like JSON; one name a line"),
        (b" \n", "it is empty; one name a line"),
    ],
    ids=["BOM, CRLF and blank lines", "UTF-16", "JSON", "empty"],
)
def test_files_of_labels(
    data: bytes, told: str | None, tmp_path: Path, run: Callable[..., Any]
) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes(data)
    zoo = ModelZoo(None, {"mine": factory("make").model_copy(update={"labels": file})}, run)
    if told is None:
        assert zoo.load("mine").classes == NAMES
    else:
        with pytest.raises(ModelError, match=rf"models.mine.labels: .*names.txt cannot.*{told}"):
            zoo.load("mine")
