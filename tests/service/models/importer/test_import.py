"""`striate-server import`: checkpoints in the forms that people have, made into bundles whose
networks are those of torch and torchvision.
"""

import os
import shutil
import subprocess
import sys
import types
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from interp.network.architectures import CifarTwin
from service.config import ModelTable
from service.models.architectures import architecture
from service.models.importer import sandbox
from service.models.importer.command import main
from service.models.zoo import HostedModel, ModelError
from tests.service.models.bundles.test_bundles import answer, zoo
from tests.service.models.sources.test_huggingface import write as write_hf

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def network(classes: int = 5, name: str = "resnet18") -> nn.Module:
    """One of torchvision's whose batch norms do something, too."""
    torch.manual_seed(0)
    module: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return module.eval()


def imported(path: Path, out: Path, *options: str) -> HostedModel:
    """The network that a server hosts of the bundle."""
    assert main([str(path), "--out", str(out), *options]) == 0
    (bundle,) = out.glob("*.striate")
    return zoo(None, mine=ModelTable(source=f"bundle:{bundle}")).load("mine")


def assert_same(model: HostedModel, module: nn.Module) -> None:
    """Logits and input gradients are the library's own."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, *model.preprocessing.shape, generator=generator).requires_grad_()
    mean, std = (
        torch.tensor(v).view(-1, 1, 1) for v in (model.preprocessing.mean, model.preprocessing.std)
    )
    logits = module((images - mean) / std)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), images)
    ours, our_gradient = answer(model)
    torch.testing.assert_close(ours, logits.detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(our_gradient, gradient, rtol=0, atol=1e-5)


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("ending", ["safetensors", "pth", "ckpt", "bin", "pth.tar"])
def test_the_architecture_and_the_classes_are_those_of_the_tensors(
    ending: str, tmp_path: Path
) -> None:
    module, path = network(), tmp_path / f"net.{ending}"
    if ending == "safetensors":
        save_file(module.state_dict(), path)
    else:
        torch.save({"epoch": 3, "state_dict": under("module.", module.state_dict())}, path)
    model = imported(path, tmp_path / "out", "--size", "64")
    assert (tmp_path / "out" / "net.striate").exists()
    assert model.architecture == "resnet18"
    assert model.classes == tuple(f"class {i}" for i in range(5))
    assert_same(model, module)


def test_options_go_before_the_architectures_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, labels = tmp_path / "net.pth", tmp_path / "labels.txt"
    torch.save(network().state_dict(), path)
    labels.write_text("a\nb\nc\nd\ne\n")
    options = ["--size", "48,64", "--mean", "0.4,0.5,0.6", "--std", "0.2,0.3,0.25"]
    options += ["--labels", str(labels), "--license", "MIT", "--source", "our own", "--name", "x"]
    model = imported(path, tmp_path / "out", *options)
    assert (tmp_path / "out" / "x.striate").exists()
    seen = model.preprocessing
    assert (seen.shape, seen.mean, seen.std) == ((3, 48, 64), MEAN, STD)
    assert (model.classes, model.license, model.source) == (tuple("abcde"), "MIT", "our own")
    told = capsys.readouterr().out
    assert f"resnet18, images of 3 x 48 x 64 less {MEAN} over {STD}, 5 classes, licence MIT" in told


def test_what_cannot_be_imported_is_told_and_the_others_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, other, text = (tmp_path / name for name in ("good.pth", "other.pth", "text.pth"))
    torch.save(network().state_dict(), good)
    half = {k: v for k, v in network(name="resnet34").state_dict().items() if "layer2" not in k}
    torch.save(half, other)
    text.write_text("no network")
    files = [str(path) for path in (tmp_path / "missing.pth", other, good, text)]
    assert main([*files, "--out", str(tmp_path / "out"), "--size", "32"]) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.striate"]
    told = capsys.readouterr().err
    assert f"{tmp_path / 'missing.pth'}: there is no file" in told
    assert "other.pth fits none of the architectures" in told
    assert "looks like a checkpoint of a ResNet" in told
    assert "resnet34 comes nearest, but the file does not fit the architecture's" in told
    assert "54 missing keys such as layer2.0.conv1.weight" in told
    assert "text.pth" in told
    assert main([str(good), "--out", str(tmp_path / "out"), "--size", "32"]) == 1
    assert "is there already; replace it with --force" in capsys.readouterr().err
    assert main([str(good), "--out", str(tmp_path / "out"), "--size", "32", "--force"]) == 0
    assert main([str(other), "--out", str(tmp_path), "--architecture", "resnet34"]) == 1
    assert "missing keys such as layer2.0" in capsys.readouterr().err
    assert main([str(good), "--out", str(tmp_path), "--size", "wide"]) == 1
    assert "--size: " in capsys.readouterr().err


def test_two_networks_in_one_file_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"a": network().state_dict(), "b": network(3).state_dict()}, tmp_path / "two.pth")
    assert main([str(tmp_path / "two.pth"), "--out", str(tmp_path / "out")]) == 1
    told = "resnet18 comes nearest, but the file holds 2 different networks that fit, under "
    assert f"{told}'a', 'b'" in capsys.readouterr().err


def test_of_two_architectures_that_fit_one_must_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "twin.pth"
    torch.save(CifarTwin(10).state_dict(), path)
    assert main([str(path), "--out", str(tmp_path)]) == 1
    assert "fits cifar10-plain and cifar10-robust alike" in capsys.readouterr().err
    model = imported(path, tmp_path / "out", "--architecture", "cifar10-plain")
    assert model.architecture == "cifar10-plain"


def test_a_folder_of_hugging_faces(tmp_path: Path) -> None:
    module = write_hf(tmp_path / "flowers")
    model = imported(tmp_path / "flowers", tmp_path / "out")
    assert model.classes == ("rose", "tulip", "daisy")
    assert_same(model, module)


class Normalize(nn.Module):
    """As networks that normalize their own images keep mean and std."""

    def __init__(self, mean: str, std: str, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer(mean, torch.tensor(MEAN).view(shape))
        self.register_buffer(std, torch.tensor(STD).view(shape))


@pytest.mark.parametrize(
    "state",
    [
        lambda net: {
            "mu": torch.tensor(MEAN).view(1, 3, 1, 1),
            "sigma": torch.tensor(STD).view(1, 3, 1, 1),
            **net,
        },
        lambda net: {
            **under("normalize.", dict(Normalize("mean", "std", (3, 1, 1)).state_dict())),
            **under("model.", net),
        },
        lambda net: {
            **under("module.0.", dict(Normalize("mean", "std", (3,)).state_dict())),
            **under("module.1.", net),
        },
    ],
)
def test_a_normalization_before_the_network_becomes_the_preprocessing(
    state: Any, tmp_path: Path
) -> None:
    module = network()
    torch.save({"state_dict": state(dict(module.state_dict()))}, tmp_path / "robust.pt")
    model = imported(tmp_path / "robust.pt", tmp_path / "out", "--size", "64")
    assert model.preprocessing.mean == pytest.approx(MEAN)
    assert model.preprocessing.std == pytest.approx(STD)
    assert_same(model, module)


def foreign_module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A library that the reading process does not have."""
    module = types.ModuleType("cox_of_the_madry_lab")

    class Parameters:
        def __init__(self, **values: Any) -> None:
            self.values = values

    Parameters.__module__, Parameters.__qualname__ = module.__name__, "Parameters"
    module.Parameters = Parameters  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def madry(module: nn.Module, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint as the `robustness` library saves its AttackerModel under DataParallel."""
    net, normalize = dict(module.state_dict()), Normalize("new_mean", "new_std", (3, 1, 1))
    buffers = dict(normalize.state_dict())
    state = {
        **under("module.normalizer.", buffers),
        **under("module.model.", net),
        **under("module.attacker.normalize.", buffers),
        **under("module.attacker.model.", net),
    }
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    contents = {
        "model": state,
        "optimizer": optimizer.state_dict(),
        "schedule": None,
        "epoch": 90,
        "args": foreign_module(monkeypatch).Parameters(eps=3.0, constraint="2"),
    }
    torch.save(contents, folder / "resnet18_l2_eps3.ckpt")
    return folder / "resnet18_l2_eps3.ckpt"


def can_unshare() -> bool:
    try:
        sandbox._unshare()
    except ModelError:
        return False
    return True


needs_unshare = pytest.mark.skipif(
    not can_unshare(), reason="`unshare` cannot take the network from a process here"
)


@needs_unshare
def test_a_robust_network_of_the_madry_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = network()
    path = madry(module, tmp_path, monkeypatch)
    assert main([str(path), "--out", str(tmp_path / "out"), "--size", "64"]) == 1
    told = capsys.readouterr().err
    assert "holds objects of cox_of_the_madry_lab.Parameters" in told
    assert "--trust-pickle" in told
    model = imported(path, tmp_path / "out", "--size", "64", "--trust-pickle")
    assert model.preprocessing.mean == pytest.approx(MEAN)
    assert_same(model, module)


@needs_unshare
@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: {"net": nn.DataParallel(m), "acc": 93.1}])
def test_a_pickled_module(wrap: Any, tmp_path: Path) -> None:
    module = network()
    torch.save(wrap(module), tmp_path / "whole.pt")
    model = imported(tmp_path / "whole.pt", tmp_path / "out", "--size", "64", "--trust-pickle")
    assert_same(model, module)


@pytest.mark.parametrize(
    "name", ["wide_resnet16_3", "silu_wide_resnet10_2", "resnet18_cifar", "preact_resnet18"]
)
def test_the_networks_of_adversarial_training_are_recognized(name: str, tmp_path: Path) -> None:
    known = architecture(name)
    assert known is not None
    torch.manual_seed(0)
    module = known.build(7).eval()
    state = under("module.model.", dict(module.state_dict()))
    if name == "wide_resnet16_3":  # which TRADES' code has beside the network, and never runs
        group = under("module.model.", {"sub_block1.layer.0.conv1.weight": torch.ones(2, 2, 3, 3)})
        state |= group
    torch.save({"model_state_dict": state}, tmp_path / "robust.pt")
    model = imported(tmp_path / "robust.pt", tmp_path / "out")
    assert model.architecture == name
    assert len(model.classes) == 7
    assert_same(model, module)


def test_networks_that_differ_in_no_tensor_must_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = architecture("preact_resnet18_raw_shortcut")
    assert known is not None
    torch.save(known.build(10).state_dict(), tmp_path / "fast.pt")
    assert main([str(tmp_path / "fast.pt"), "--out", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "preact_resnet18_no_last_norm and preact_resnet18_raw_shortcut alike" in told


class Own(nn.Module):
    """A module of a class that the reading process does not find."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = network()


@needs_unshare
def test_a_pickled_module_of_a_class_that_is_not_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = types.ModuleType("somebodys_code")
    monkeypatch.setattr(Own, "__module__", library.__name__)
    library.Own = Own  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, library.__name__, library)
    module = Own().eval()
    torch.save(module, tmp_path / "own.pt")
    model = imported(tmp_path / "own.pt", tmp_path / "out", "--size", "64", "--trust-pickle")
    assert_same(model, module.backbone)


class Payload:
    """What runs when it is unpickled."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> Any:
        return exec, (self.code,)


@needs_unshare
def test_a_payload_reaches_no_network_and_sees_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRIATE_TOKEN", "secret")
    seen = tmp_path / "seen"
    code = f"""
import os, socket
interfaces = [name for _, name in socket.if_nameindex()]
try:
    socket.create_connection(("127.0.0.1", 9), 1)
except OSError as error:
    reached = error.errno
open({str(seen)!r}, "w").write(repr((interfaces, reached, "STRIATE_TOKEN" in os.environ)))
"""
    torch.save({"model": network().state_dict(), "x": Payload(code)}, tmp_path / "bad.pth")
    assert main([str(tmp_path / "bad.pth"), "--out", str(tmp_path), "--size", "64"]) == 1
    assert not seen.exists(), "nothing runs unless it is asked for"
    model = imported(tmp_path / "bad.pth", tmp_path / "out", "--size", "64", "--trust-pickle")
    interfaces, reached, secret = eval(seen.read_text())  # noqa: S307 - what the test wrote
    assert interfaces == ["lo"], "and that is down"
    assert reached in (101, 99), "network unreachable, or no address"
    assert not secret
    assert_same(model, network())


@needs_unshare
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os; os._exit(3)", "the process ended with 3"),
        ("x = bytearray(1 << 40)", "MemoryError"),
        ("raise ValueError('\\n\\nmine')", "mine"),
    ],
)
def test_a_payload_that_ends_its_process_is_told(
    code: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"x": Payload(code)}, tmp_path / "bad.pth")
    options = ["--out", str(tmp_path), "--trust-pickle"]
    assert main([str(tmp_path / "bad.pth"), *options]) == 1
    assert told in capsys.readouterr().err


def test_without_unshare_nothing_is_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    seen = tmp_path / "seen"
    torch.save({"x": Payload(f"open({str(seen)!r}, 'w')")}, tmp_path / "bad.pth")
    assert main([str(tmp_path / "bad.pth"), "--out", str(tmp_path), "--trust-pickle"]) == 1
    assert "takes Linux, the program `unshare`" in capsys.readouterr().err
    assert not seen.exists()


def test_the_command_starts_no_server(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "net.pth")
    command = [str(Path(sys.executable).with_name("striate-server")), "import"]
    ended = subprocess.run(
        [*command, str(tmp_path / "net.pth"), "--out", str(tmp_path), "--size", "64"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ended.stdout.startswith(f"{tmp_path / 'net.striate'}: resnet18, images of 3 x 64 x 64")
    assert "striate listening" not in ended.stdout


def program_of(kind: str, module: nn.Module, folder: Path) -> Path:
    """A module as TorchScript or torch.export keep it."""
    images = torch.rand(2, 3, 64, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of what it deprecates
        if kind == "export":
            program = torch.export.export(module, (images,))
            torch.export.save(program, folder / "net.pt2")
            return folder / "net.pt2"
        trace: Any = partial(torch.jit.trace, example_inputs=images)
        (trace if kind == "trace" else torch.jit.script)(module).save(folder / "net.pt")
    return folder / "net.pt"


@needs_unshare
@pytest.mark.parametrize("kind", ["export", "trace", "script"])
def test_a_trusted_program_of_a_known_architecture(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = network()
    path = program_of(kind, module, tmp_path)
    assert main([str(path), "--out", str(tmp_path / "out"), "--size", "64"]) == 1
    told = capsys.readouterr().err
    assert "may run code when it is read" in told
    assert "torch.onnx.export" in told
    model = imported(path, tmp_path / "out", "--size", "64", "--trust-pickle")
    assert model.architecture == "resnet18"
    assert_same(model, module)


class Scaled(nn.Module):
    """The tensors of a network that is known, and another function."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.module(2 * x)
        return logits


@needs_unshare
def test_a_program_that_computes_something_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = program_of("trace", Scaled(network()), tmp_path)
    options = ["--out", str(tmp_path / "out"), "--size", "64", "--trust-pickle"]
    assert main([str(path), *options]) == 1
    assert "has the tensors of resnet18 and computes something else" in capsys.readouterr().err
    path = program_of("trace", nn.Sequential(nn.Conv2d(3, 2, 64), nn.Flatten()), tmp_path)
    assert main([str(path), *options]) == 1
    assert "torch.onnx.export" in capsys.readouterr().err
