"""The forms in which training scripts keep a network's weights, and what is told of those that are
another network's.
"""

import argparse
import datetime
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from interp.network.architectures import LeNet5
from service.models import checkpoints
from service.models.checkpoint_families import looks_like
from service.models.zoo import ModelError

State = dict[str, Tensor]
LAST = list(LeNet5(10).state_dict())[-1].rpartition(".")[0]


@pytest.fixture(scope="module")
def good() -> State:
    torch.manual_seed(0)
    return dict(LeNet5(10).state_dict())


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def loaded(contents: Any, folder: Path) -> State:
    torch.save(contents, folder / "net.pth")
    module = LeNet5(10)
    checkpoints.load(module, checkpoints.read(folder / "net.pth"), "net.pth")
    return dict(module.state_dict())


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_wrappers_and_prefixes_are_taken_off_where_the_match_is_then_exact(
    good: State, tmp_path: Path
) -> None:
    module = LeNet5(10)
    module.load_state_dict(good)
    optimizer = torch.optim.Adam(module.parameters())
    sum(p.sum() for p in module.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()  # its moments have the shapes of the weights
    moments, criterion = optimizer.state_dict(), {"criterion.weight": torch.ones(10)}
    for contents in (
        good,
        OrderedDict(good),
        under("module.", good),
        under("net.", good),
        under("backbone.", good),
        under("model._orig_mod.", good),
        {"model": good, "optimizer": moments, "epoch": 3},
        {"model_state_dict": under("module.", good), "loss": 0.1},
        {"state_dict": under("model.", good) | criterion, "pytorch-lightning_version": "2.4"},
        {"checkpoint": {"network": good}, "config": {"lr": 0.1}},
        good | {"epoch": 3},
        dict(AveragedModel(_with(good)).state_dict()),
    ):
        assert same(loaded(contents, tmp_path), good)


def test_running_averages_go_before_the_weights_that_they_average(
    good: State, tmp_path: Path
) -> None:
    other = {name: tensor + 1 for name, tensor in good.items()}
    for contents in (
        {"state_dict": other, "state_dict_ema": good},
        {"model": other, "model_ema": under("module.", good)},
        {"model": other, "ema": {"shadow": good}},
        under("model.", other) | under("model_ema.", good),
    ):
        assert same(loaded(contents, tmp_path), good)


def test_two_networks_in_one_file_are_refused(good: State, tmp_path: Path) -> None:
    other = {name: tensor + 1 for name, tensor in good.items()}
    for contents in (
        {"student": good, "teacher": other},
        under("student.", good) | under("teacher.", other),
    ):
        with pytest.raises(ModelError, match="holds 2 different networks that fit, under 'stude"):
            loaded(contents, tmp_path)
    assert same(loaded({"model": good, "best": dict(good)}, tmp_path), good)


def test_nothing_is_loaded_in_part(good: State, tmp_path: Path) -> None:
    name = next(iter(good))
    for contents in (
        {k: v for k, v in good.items() if k != name},
        good | {"extra": torch.zeros(1)},
        under("model.", good) | {"normalizer.mean": torch.zeros(3)},
        under("model.", good) | {"head.weight": torch.zeros(3)},
    ):
        with pytest.raises(ModelError, match="does not fit the architecture's"):
            loaded(contents, tmp_path)


def test_another_networks_checkpoint_is_told_by_name(tmp_path: Path) -> None:
    with torch.device("meta"):
        states = {n: torchvision.models.get_model(n).state_dict() for n in ("resnet34", "vgg11")}
        wide = torchvision.models.wide_resnet50_2(num_classes=7).state_dict()
    assert looks_like(under("model.", dict(states["resnet34"]))) == "torchvision's resnet34"
    assert looks_like(wide) == "torchvision's wide_resnet50_2"
    assert looks_like({"features.denseblock1.denselayer1.norm1.weight": torch.ones(1)}) == (
        "a DenseNet"
    )
    assert looks_like({"mine": torch.ones(1)}) is None
    state = {k: torch.zeros(t.shape) for k, t in states["resnet34"].items()}
    with pytest.raises(ModelError) as told:
        loaded(state, tmp_path)
    sentence = str(told.value)
    assert "218 unexpected keys such as conv1.weight" in sentence
    assert f"{len(LeNet5(10).state_dict())} missing keys such as" in sentence
    assert sentence.endswith("they look like a checkpoint of torchvision's resnet34")


def test_objects_beside_tensors_are_named_and_never_made(good: State, tmp_path: Path) -> None:
    contents = {"state_dict": good, "when": datetime.date(2024, 2, 29)}
    with pytest.raises(ModelError, match=r"holds objects of datetime\.date"):
        loaded(contents, tmp_path)


def _with(state: State) -> nn.Module:
    module = LeNet5(10)
    module.load_state_dict(state)
    return module


@pytest.mark.parametrize(
    ("body", "head"), [("backbone.", ""), ("backbone.", "head."), ("module.features.", "module.")]
)
def test_body_and_head_may_stand_under_prefixes_of_their_own(
    body: str, head: str, good: State, tmp_path: Path
) -> None:
    last = {name: tensor for name, tensor in good.items() if name.startswith(LAST)}
    first = {name: tensor for name, tensor in good.items() if name not in last}
    whole = under(body, first) | under(head, last)
    assert same(loaded({"state_dict": whole, "meta": {"epoch": 3}}, tmp_path), good)
    for other in (whole | {"another.weight": torch.ones(3)}, under(body, first), under(head, last)):
        with pytest.raises(ModelError, match="does not fit"):
            loaded(other, tmp_path)


def test_the_arguments_in_a_checkpoint_of_timms_script_do_no_harm(
    good: State, tmp_path: Path
) -> None:
    given = argparse.Namespace(model="lenet5", lr=0.1, layers=[1, 2], nested={"a": None})
    contents = {"arch": "lenet5", "state_dict": good, "version": 2, "args": given, "epoch": 3}
    assert same(loaded(contents, tmp_path), good)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "is a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file"),
        (b"GGUF" + bytes(99), "is a GGUF file"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_of_another_kind_are_told_by_it(
    data: bytes, told: str, suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"net{suffix}"
    file.write_bytes(data)
    with pytest.raises(ModelError, match=rf"net\{suffix} {told}"):
        checkpoints.read(file)


def test_arrays_of_numpy_are_told(good: State, tmp_path: Path) -> None:
    with (tmp_path / "net.pth").open("wb") as file:
        np.savez(file, *(tensor.numpy() for tensor in good.values()))
    with pytest.raises(ModelError, match=r"holds arrays of NumPy \(.npz\)"):
        checkpoints.read(tmp_path / "net.pth")
