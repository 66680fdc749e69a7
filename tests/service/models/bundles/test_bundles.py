"""Bundles: a network carried from one server to another in one file, and files that are none."""

import io
import re
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from service.config import ModelTable
from service.models.bundles import archive
from service.models.bundles.export import NotExportable, export
from service.models.zoo import HostedModel, ModelError, ModelZoo, UnknownModel
from tests.service.models.sources.test_huggingface import write as write_hf


def zoo(weights_dir: Path | None, **tables: ModelTable) -> ModelZoo:
    def run(call: Callable[[], Any]) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(call())
        return done

    return ModelZoo(weights_dir, tables, run)


def exported(model: HostedModel, folder: Path, name: str = "carried") -> Path:
    path = folder / f"{name}.striate"
    with path.open("wb") as file:
        export(model, file)
    return path


def answer(model: HostedModel) -> tuple[Tensor, Tensor]:
    """Logits and input gradients of four images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, *model.preprocessing.shape, generator=generator).requires_grad_()
    seen = model.preprocessing
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (seen.mean, seen.std))
    logits = model.network.module((images - mean) / std)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), images)
    return logits.detach(), gradient


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def put_together(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in contents.items():
            file.writestr(name, data)
    return path


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network's bundle."""
    return exported(zoo(None).load("digits-lenet5"), tmp_path_factory.mktemp("carried"))


@pytest.mark.parametrize("name", ["digits-lenet5", "cifar10-plain", "resnet18", "mobilenet_v2"])
def test_another_server_hosts_the_same_network(name: str, tmp_path: Path) -> None:
    weights = "" if "-" in name else "random"
    table = ModelTable(architecture=name, size=32) if weights else None
    first = zoo(None, **({"mine": table} if table else {})).load("mine" if table else name, weights)
    exported(first, tmp_path)
    second = zoo(tmp_path).load("carried")
    assert (second.digest, second.classes) == (first.digest, first.classes)
    assert second.preprocessing == first.preprocessing
    assert (second.license, second.source) == (first.license, first.source)
    assert second.weights == "carried.striate"
    for ours, theirs in zip(answer(second), answer(first), strict=True):
        assert torch.equal(ours, theirs)
    again = exported(second, tmp_path, "again")
    assert again.read_bytes() == (tmp_path / "carried.striate").read_bytes()


def test_a_network_of_hugging_faces_is_carried(tmp_path: Path) -> None:
    write_hf(tmp_path / "theirs", "resnet50")
    table = ModelTable(source=f"hf:{tmp_path / 'theirs'}", license="MIT", origin="our own")
    first = zoo(None, mine=table).load("mine")
    path = exported(first, tmp_path)
    second = zoo(None, mine=ModelTable(source=f"bundle:{path}")).load("mine")
    assert (second.digest, second.classes) == (first.digest, ("rose", "tulip", "daisy"))
    assert (second.license, second.source) == ("MIT", "our own")
    assert torch.equal(answer(second)[0], answer(first)[0])


def test_a_network_of_one_output_is_carried(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 1))
    known = zoo(None).load("digits-lenet5")
    state = known.network.module.state_dict()
    last = list(state)[-2:]
    for key in last:
        state[key] = state[key][:1].clone()
    torch.save(state, tmp_path / "one.pth")
    assert module(torch.zeros(1, 1, 32, 32)).shape == (1, 1)
    table = ModelTable(
        architecture="digits-lenet5", weights=tmp_path / "one.pth", labels=("even", "odd")
    )
    first = zoo(None, mine=table).load("mine")
    path = exported(first, tmp_path)
    second = zoo(None, mine=ModelTable(source=f"bundle:{path}")).load("mine")
    assert second.digest == first.digest
    assert second.classes == ("even", "odd")
    assert torch.equal(answer(second)[0], answer(first)[0])


def test_a_table_goes_before_what_its_bundle_says(carried: Path) -> None:
    table = ModelTable(source=f"bundle:{carried}", resize=40, labels=tuple("abcdefghij"))
    model = zoo(None, mine=table).load("mine")
    assert model.preprocessing.resize == 40
    assert model.classes == tuple("abcdefghij")


def test_a_bundle_of_the_weights_folder_is_listed_and_goes_first(
    carried: Path, tmp_path: Path
) -> None:
    for name in ("mine", "resnet18", "hf.a.b", "no name"):
        (tmp_path / f"{name}.striate").write_bytes(carried.read_bytes())
    found = zoo(tmp_path)
    assert "mine" in found.available()
    assert "no name" not in found.available()
    assert found.load("resnet18").architecture == "digits-lenet5"
    assert found.load("hf.a.b").architecture == "digits-lenet5"
    with pytest.raises(UnknownModel, match="bundle:"):
        found.load(f"bundle:{carried}")


def test_a_network_of_the_users_own_code_is_not_exported(tmp_path: Path) -> None:
    table = ModelTable(
        factory="torchvision.models:resnet18", size=(64, 64), mean=(0.5,) * 3, std=(0.5,) * 3
    )
    with pytest.raises(NotExportable, match=r"mine is built by code of its own .*ONNX"):
        exported(zoo(None, mine=table).load("mine"), tmp_path)


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        zoo(None, mine=ModelTable(source=f"bundle:{path}")).load("mine")
    return str(caught.value)


def test_altered_weights_are_refused(carried: Path, tmp_path: Path) -> None:
    whole = members(carried)
    altered = bytearray(whole["weights.safetensors"])
    altered[-1] ^= 1
    path = put_together(
        tmp_path / "altered.striate", {**whole, "weights.safetensors": bytes(altered)}
    )
    assert "is not what it was when it was made" in refusal(path)


@pytest.mark.parametrize(
    ("old", "new"), [(b"resize = 32", b"resize = 33"), (b"mean = [0.5]", b"mean = [0.6]")]
)
def test_altered_preprocessing_is_refused(
    old: bytes, new: bytes, carried: Path, tmp_path: Path
) -> None:
    whole = members(carried)
    text = whole["bundle.toml"]
    assert old in text
    path = put_together(
        tmp_path / "altered.striate", {**whole, "bundle.toml": text.replace(old, new)}
    )
    assert "is not what it was when it was made" in refusal(path)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"format = 1", b"format = 2", "newer version of Striate"),
        (b"channels = 1", b"channels = 7", "channels"),
        (b"mean = [0.5]", b"mean = [117.0]", r"mean.0: .*less than or equal to 1"),
        (b"std = [0.5]", b"std = []", "std must have 1 values"),
        (b"[arguments]", b"secret = 1\n[arguments]", "secret: Extra inputs"),
        (b"classes = 10", b"classes = 999999", "promises 999999 classes"),
        (b"classes = 10", b"classes = 'ten'", "arguments.classes: Input should be a valid int"),
        (b"classes = 10", b"classes = -1", "promises -1 classes"),
        (b'architecture = "digits-lenet5"', b'architecture = "nonet"', "no architecture 'nonet'"),
        (b'architecture = "digits-lenet5"', b'architecture = "resnet18"', "unexpected"),
        (b"format = 1", b"format = ", "cannot be read"),
    ],
)
def test_a_wrong_description_is_told(
    old: bytes, new: bytes, told: str, carried: Path, tmp_path: Path
) -> None:
    whole = members(carried)
    assert old in whole["bundle.toml"]
    text = whole["bundle.toml"].replace(old, new)
    path = put_together(tmp_path / "wrong.striate", {**whole, "bundle.toml": text})
    assert re.search(told, refusal(path))


def test_files_that_are_no_bundles_are_refused(carried: Path, tmp_path: Path) -> None:
    whole = members(carried)
    assert "is no bundle, or damaged" in refusal(tmp_path / "missing.striate")
    (tmp_path / "text.striate").write_text("a network")
    assert "is no bundle, or damaged" in refusal(tmp_path / "text.striate")
    cut = tmp_path / "cut.striate"
    cut.write_bytes(carried.read_bytes()[:-1000])
    assert "is no bundle, or damaged" in refusal(cut)
    for more in ("../evil.py", "graph.py"):
        path = put_together(tmp_path / "more.striate", {**whole, more: b""})
        assert "is no bundle: it holds" in refusal(path)
    bomb = {**whole, "bundle.toml": whole["bundle.toml"] + b"\n" * 10_000_000}
    path = put_together(tmp_path / "bomb.striate", bomb, zipfile.ZIP_DEFLATED)
    assert "is compressed" in refusal(path)
    no_tensors = {**whole, "weights.safetensors": b"pickle"}
    assert "weights.safetensors of" in refusal(put_together(tmp_path / "p.striate", no_tensors))
    pickled = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, pickled)
    path = put_together(
        tmp_path / "pickled.striate", {**whole, "weights.safetensors": pickled.getvalue()}
    )
    assert "weights.safetensors of" in refusal(path)
    other = {**whole, "weights.safetensors": save({"a": torch.zeros(10)})}
    assert "missing" in refusal(put_together(tmp_path / "other.striate", other))


def test_equal_contents_give_equal_bytes(carried: Path) -> None:
    bundle = archive.read(carried)
    once, twice = io.BytesIO(), io.BytesIO()
    for file in (once, twice):
        archive.write(file, bundle.description, bundle.tensors())
    assert once.getvalue() == twice.getvalue() == carried.read_bytes()
