"""Receptive fields against the support of the gradient, costs against torch's own flop counter,
shapes against the network.
"""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from interp.network.architectures import CifarResNet, CifarTwin, LeNet5
from interp.network.describe import LayerInfo, ReceptiveField, describe
from interp.network.network import Network

Shape = tuple[int, int, int]


def reference_archs() -> ModuleType:
    if "STRIATE_DATA" not in os.environ:
        pytest.skip("STRIATE_DATA is not set: no reference architectures")
    spec = importlib.util.spec_from_file_location(
        "reference_archs", Path(os.environ["STRIATE_DATA"]) / "reference_archs.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Undrawn(TorchFunctionMode):
    """Leaves initial weights at zero: drawing those of vgg16 takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        drawn = {Tensor.uniform_, Tensor.normal_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_}
        return (
            (args or list(kwargs.values()))[0].data.zero_()
            if func in drawn
            else func(*args, **(kwargs or {}))
        )


def from_torchvision(name: str) -> Callable[[], nn.Module]:
    options = {
        "googlenet": {"aux_logits": False, "init_weights": False, "transform_input": True},
        "inception_v3": {"init_weights": False},
    }

    def build() -> nn.Module:
        with Undrawn():
            module: nn.Module = torchvision.models.get_model(name, **options.get(name, {}))
        if name == "vgg16":  # its linear layers see no positions, and weigh a gigabyte in float64
            module.classifier = nn.Linear(512 * 7 * 7, 1000)
        make_positive(module)
        return module

    return build


def inceptionv1() -> nn.Module:
    from lucent.modelzoo import inceptionv1 as build

    module: nn.Module = build(redirected_ReLU=False)
    return module


TORCHVISION = [
    "alexnet",
    "vgg16",
    "googlenet",
    "resnet18",
    "resnet50",
    "densenet121",
    "squeezenet1_1",
    "mobilenet_v2",
    "efficientnet_b0",
    "convnext_tiny",
    "shufflenet_v2_x1_0",
    "mnasnet0_5",
    "inception_v3",
    "regnet_y_400mf",
    "mobilenet_v3_small",
]

ZOO: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    **{name: (from_torchvision(name), (3, 128, 160)) for name in TORCHVISION},
    "alexnet": (from_torchvision("alexnet"), (3, 224, 224)),
    "vgg16": (from_torchvision("vgg16"), (3, 64, 96)),
    "convnext_tiny": (from_torchvision("convnext_tiny"), (3, 96, 128)),
    "lenet5": (LeNet5, (1, 32, 32)),
    "cifar_resnet20": (lambda: CifarResNet(20), (3, 32, 48)),
    "cifar_twin": (CifarTwin, (3, 32, 48)),
    "inceptionv1": (inceptionv1, (3, 224, 224)),
    "bvlc_googlenet": (lambda: reference_archs().BVLCGoogLeNet(), (3, 128, 160)),
    "tf_mobilenet_v2": (
        lambda: reference_archs().tf_same_padding(from_torchvision("mobilenet_v2")()),
        (3, 128, 160),
    ),
}


def soft_max_pool(
    x: Tensor,
    kernel_size: int,
    stride: int,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Looks where max pooling looks, but every position of the window has a gradient."""
    assert dilation == 1
    assert not return_indices
    return F.avg_pool2d(x.exp(), kernel_size, stride, padding, ceil_mode).log()


@torch.no_grad()
def make_positive(module: nn.Module) -> None:
    """Weights with which nothing cancels and no rectifier shuts: convolutions and linear layers
    take weighted means.
    """
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if isinstance(part, (nn.Conv2d, nn.Linear)) and name == "weight":
                parameter.uniform_(0.25, 0.75, generator=generator).div_(parameter[0].numel())
            else:
                parameter.fill_(0.0 if name == "bias" else 1.0)
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()


def support(output: Tensor, image: Tensor, row: int, column: int) -> tuple[int, int, int, int]:
    """First row, first column, last row and last column of the pixels that an output position (C,
    h, w) depends on.
    """
    mixed = output[0, :, row, column] @ torch.rand(
        output.shape[1], dtype=output.dtype, generator=torch.Generator().manual_seed(1)
    )
    (gradient,) = torch.autograd.grad(mixed, image, retain_graph=True)
    rows, columns = (gradient[0].abs().amax(0) > 0).nonzero(as_tuple=True)
    return int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max())


def assert_covers(
    field: ReceptiveField, shape: Shape, row: int, column: int, found: tuple[int, int, int, int]
) -> None:
    first = field.offset_y + row * field.jump_y, field.offset_x + column * field.jump_x
    last = first[0] + field.height - 1, first[1] + field.width - 1
    for axis in (0, 1):
        begin, end = field.bounds[axis], field.bounds[axis + 2]
        assert 0 <= begin < end <= shape[axis + 1]
        assert (found[axis], found[axis + 2]) == (max(first[axis], begin), min(last[axis], end - 1))


def chosen(layers: list[LayerInfo], count: int) -> list[LayerInfo]:
    """Up to `count` layers with different fields, first to last, of those that are channels
    first.
    """
    left_out = {"Permute", "LayerNorm", "Linear", "GELU"}
    distinct = {
        i.receptive_field: i for i in layers if i.receptive_field and i.type not in left_out
    }
    fields = list(distinct.values())
    return [
        fields[round(k * (len(fields) - 1) / max(count - 1, 1))]
        for k in range(min(count, len(fields)))
    ]


def run(
    network: Network, layers: list[LayerInfo], monkeypatch: pytest.MonkeyPatch
) -> tuple[Tensor, dict[str, Tensor]]:
    monkeypatch.setattr(F, "max_pool2d", soft_max_pool)
    make_positive(network.module)
    image = torch.rand(
        1, *network.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    ).requires_grad_()
    outputs: dict[str, Tensor] = {}
    for info in layers:
        network.module.get_submodule(info.name).register_forward_hook(
            lambda _, __, output, name=info.name: outputs.__setitem__(name, output.clone())
        )
    network.module(image + 1)
    return image, outputs


@pytest.mark.parametrize("name", ZOO)
def test_receptive_fields_are_the_support_of_the_gradient(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, shape = ZOO[name]
    channels = shape[0]
    network = Network(build(), shape, [0.5] * channels, [0.5] * channels, dtype=torch.float64)
    layers = chosen(
        [i for i in describe(network) if (name, i.name) != ("vgg16", "avgpool")], 5
    )  # there uneven: taken for global
    image, outputs = run(network, layers, monkeypatch)
    for info in layers:
        output = outputs[info.name]
        assert tuple(output.shape[1:]) == info.output_shape
        assert info.receptive_field
        height, width = output.shape[2:]
        for row, column in {(0, 0), (height // 2, width // 3), (height - 1, width - 1)}:
            found = support(output, image, row, column)
            if info.receptive_field.is_global:
                assert found[:2] == (0, 0)
                assert (
                    min(found[2] / shape[1], found[3] / shape[2]) > 0.85
                )  # but for what strides leave over
            else:
                assert_covers(info.receptive_field, shape, row, column, found)


def test_a_deep_field_inside_a_larger_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """resnet18's last stage on a picture that its whole field fits into, so that all four of its
    sides are seen.
    """
    shape = (3, 448, 448)
    network = Network(
        from_torchvision("resnet18")(), shape, [0.5] * 3, [0.5] * 3, dtype=torch.float64
    )
    info = next(i for i in describe(network) if i.name == "layer4")
    field = info.receptive_field
    assert field
    assert not field.is_global
    image, outputs = run(network, [info], monkeypatch)
    top, left, bottom, right = found = support(outputs["layer4"], image, 7, 7)
    assert min(top, left) > 0
    assert max(bottom, right) < 447
    assert found[:2] == (field.offset_y + 7 * field.jump_y, field.offset_x + 7 * field.jump_x)
    assert (bottom - top + 1, right - left + 1) == (field.height, field.width)
    assert (field.height, field.width, field.jump_y, field.jump_x) == (
        435,
        435,
        32,
        32,
    )  # as published for this network


def by_recurrence(layers: nn.Sequential, prefix: str) -> dict[str, tuple[int, int, int]]:
    """Layer -> (field, jump, offset) along one axis: of a chain, each window widens the field by
    (kernel - 1) jumps.
    """
    size, jump, offset, found = 1, 1, 0, {}
    for name, layer in layers.named_children():
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)):
            kernel, stride, padding = (
                int(v if isinstance(v, int) else v[0])
                for v in (layer.kernel_size, layer.stride, layer.padding)
            )
            size, offset, jump = size + (kernel - 1) * jump, offset - padding * jump, jump * stride
        found[f"{prefix}.{name}"] = size, jump, offset
    return found


@pytest.mark.parametrize(("name", "published"), [("vgg16", (212, 32)), ("alexnet", (195, 32))])
def test_fields_of_chains_follow_the_recurrence(name: str, published: tuple[int, int]) -> None:
    network = Network(from_torchvision(name)(), (3, 224, 224), [0.5] * 3, [0.5] * 3)
    features = network.module.get_submodule("features")
    assert isinstance(features, nn.Sequential)
    expected = by_recurrence(features, "features")
    fields = {i.name: i.receptive_field for i in describe(network) if i.name in expected}
    rows = {
        layer: (f.height, f.jump_y, f.offset_y)
        for layer, f in fields.items()
        if f and not f.is_global
    }
    columns = {
        layer: (f.width, f.jump_x, f.offset_x)
        for layer, f in fields.items()
        if f and not f.is_global
    }
    assert rows == columns == expected
    assert rows[f"features.{len(features) - 1}"][:2] == published


@pytest.mark.parametrize(
    "name",
    [
        "alexnet",
        "googlenet",
        "densenet121",
        "mobilenet_v2",
        "convnext_tiny",
        "shufflenet_v2_x1_0",
        "lenet5",
        "cifar_twin",
    ],
)
def test_multiply_adds_equal_those_of_the_flop_counter(name: str) -> None:
    build, shape = ZOO[name]
    network = Network(build(), shape, [0.5] * shape[0], [0.5] * shape[0])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.module(torch.zeros(1, *shape))
    prefix = type(network.module).__name__
    counts = {
        key.removeprefix(prefix + "."): sum(flops.values())
        for key, flops in counter.get_flop_counts().items()
    }
    described = describe(network)
    assert {i.name: 2 * i.multiply_adds for i in described} == {
        i.name: counts.get(i.name, 0) for i in described
    }
    assert any(i.multiply_adds for i in described)


@pytest.mark.parametrize(
    "name", ["resnet18", "squeezenet1_1", "shufflenet_v2_x1_0", "cifar_resnet20"]
)
def test_layers_come_as_the_network_finishes_them(name: str) -> None:
    build, shape = ZOO[name]
    network = Network(build(), shape, [0.5] * 3, [0.5] * 3)
    described = describe(network)
    modules = dict(network.module.named_modules())
    assert tuple(i.name for i in described) == network.layers
    for info in described:
        module = modules[info.name]
        assert info.type == type(module).__name__
        assert info.parameters == sum(p.numel() for p in module.parameters())
        if isinstance(module, nn.Conv2d):
            assert (info.kernel, info.stride, info.padding, info.dilation) == (
                module.kernel_size,
                module.stride,
                module.padding,
                module.dilation,
            )
        assert (info.receptive_field is None) == (len(info.output_shape) != 3)


def test_a_description_leaves_no_hooks() -> None:
    network = Network(CifarTwin(), (3, 32, 32), [0.5] * 3, [0.5] * 3)
    first = describe(network)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.module.modules())
    assert describe(network) == first
