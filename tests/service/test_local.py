"""A network in memory, hosted inside the process."""

import gc
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import striate

MEAN, STD = (0.4,), (0.2,)


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3)
    ).train()


@pytest.fixture
def x() -> Any:
    return np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)


def hosted(module: object, **options: Any) -> striate.Model:
    settings: dict[str, Any] = {"size": 8, "mean": MEAN, "std": STD, "threads": 1}
    return striate.host(module, **settings | options)


def probabilities(module: nn.Module, x: Any) -> Any:
    was_training = module.training
    with torch.no_grad():
        out = module.eval()((torch.tensor(x) - MEAN[0]) / STD[0]).softmax(1).numpy()
    module.train(was_training)
    return out


def told(net: striate.Model, x: Any) -> Any:
    found = net.classify(x, k=3)
    return np.array([[p.probability for p in sorted(row, key=lambda p: p.index)] for row in found])


def servers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "striate-local" and t.is_alive()]


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def test_the_handle_answers_for_a_copy_of_the_module(module: nn.Module, x: Any) -> None:
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    net = hosted(module, labels=["a", "b", "c"])
    assert (net.classes, net.input_size, net.info.weights) == (("a", "b", "c"), (8, 8), "memory")
    expected = probabilities(module, x)
    np.testing.assert_allclose(told(net, x), expected, atol=1e-5)
    assert len(net.attack(x, None, "pgd")) == 4
    assert len(net.visualize("0:1", steps=2).png) > 0
    # the module is as it was, and what is done to it changes nothing that is hosted
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5)
    np.testing.assert_allclose(told(net, x), expected, atol=1e-5)
    again = hosted(module)
    assert again.target != net.target
    np.testing.assert_allclose(told(again, x), probabilities(module, x), atol=1e-5)


def test_a_server_ends_with_its_handle(module: nn.Module, x: Any) -> None:
    gc.collect()
    wait_for(lambda: not servers())
    folders = set(Path(tempfile.gettempdir()).glob("striate-*"))
    nets = [hosted(module) for _ in range(3)]
    assert len(servers()) == 3
    new = set(Path(tempfile.gettempdir()).glob("striate-*")) - folders
    assert new
    handle = weakref.ref(nets[0])
    service = striate.connect(nets[1].target)
    assert [m.name for m in service.models()] == ["hosted"]
    nets.clear()
    gc.collect()
    assert handle() is None
    wait_for(lambda: not servers())
    assert not any(path.exists() for path in new)
    with pytest.raises(striate.Unavailable):
        service.models(timeout=5)


def test_a_state_folder_of_ones_own_stays(module: nn.Module, tmp_path: Path) -> None:
    net = hosted(module, state_dir=tmp_path / "state", datasets={"digits": "digits"})
    service = striate.connect(net.target)
    service.build_index("hosted", "digits", ["0"], k=2, limit=64).wait(timeout=60)
    first = net.exemplars("0:1", k=2, dataset="digits")
    del net, service
    gc.collect()
    wait_for(lambda: not servers())
    net = hosted(module, state_dir=tmp_path / "state", datasets={"digits": "digits"})
    assert [e.id for e in net.exemplars("0:1", k=2, dataset="digits")] == [e.id for e in first]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"module": "resnet18"}, striate.InvalidArgument, "must be a torch.nn.Module, is str"),
        ({"size": 0}, striate.InvalidArgument, "size"),
        ({"mean": (0.5, 0.5)}, striate.InvalidArgument, "mean"),
        ({"mean": (123.7,)}, striate.ModelNotLoadable, "divide by 255"),
        ({"labels": ["a", "b"]}, striate.ModelNotLoadable, "3 classes, but 2 labels"),
        ({"size": 9}, striate.ModelNotLoadable, "1 x 9 x 9"),
        ({"device": "tpu"}, striate.InvalidArgument, "device"),
        ({"name": "a b"}, striate.InvalidArgument, "name"),
        ({"datasets": {"d": 5}}, striate.InvalidArgument, "dataset"),
    ],
)
def test_what_cannot_be_hosted_is_told_and_leaves_nothing(
    module: nn.Module, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    gc.collect()
    wait_for(lambda: not servers())
    with pytest.raises(error) as caught:
        hosted(options.pop("module", module), **options)
    assert told in str(caught.value)
    del caught
    wait_for(lambda: not servers())


def test_without_the_server_it_says_what_to_install(
    module: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.hosting.entry_points", lambda group: ())
    with pytest.raises(striate.FailedPrecondition, match=r"pip install \./clients \.$"):
        hosted(module)


def test_programs_of_torchscript_are_told_the_way_on(module: nn.Module, x: Any) -> None:
    program = torch.jit.trace(module.eval(), torch.as_tensor(x))  # type: ignore[no-untyped-call]
    with pytest.raises(striate.ModelNotLoadable, match=r"a program of TorchScript.*torch\.onnx"):
        hosted(program)


def test_tensors_without_values_are_refused() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(striate.ModelNotLoadable, match="has tensors without values"):
        hosted(module)


@pytest.mark.filterwarnings("ignore")  # torch's, of where quantization will go one day
def test_quantized_networks_are_told_the_way_on() -> None:
    whole = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    quantize: Any = torch.ao.quantization.quantize_dynamic
    quantized = quantize(whole.eval(), {nn.Linear})
    with pytest.raises(striate.ModelNotLoadable, match=r"1 is a Linear of integers.*no gradients"):
        hosted(quantized)


def test_exported_programs_need_a_dynamic_batch() -> None:
    module, x = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval(), torch.rand(2, 1, 8, 8)
    fixed = torch.export.export(module, (x,)).module()
    with pytest.raises(striate.ModelNotLoadable, match="with a dynamic first axis"):
        hosted(fixed)
    dynamic = ({0: torch.export.Dim("batch")},)
    net = hosted(torch.export.export(module, (x,), dynamic_shapes=dynamic).module())
    assert len(net.classify(x.numpy())) == 2
