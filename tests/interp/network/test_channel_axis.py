"""Layers whose channels are last, presented as (B, C, H, W) wherever the network is asked."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from interp.attribution.deep_lift import deep_lift
from interp.attribution.grad_cam import check_layer, grad_cam
from interp.attribution.guided_backprop import guided_backprop
from interp.attribution.result import MethodNotApplicable
from interp.attribution.saliency import saliency
from interp.layer import LayerPath
from interp.network.channel_axis import Layout
from interp.network.describe import describe
from interp.network.network import Network
from interp.objective import activation
from interp.probe import solve
from tests.interp.network.toys_layouts import ChannelsLast, Odd, SwinLike, Tokens

LAST, TURNED = (-1, -3, -2), (-1, -2, -3)
SHAPE = (3, 36, 48)


def hosted(module: nn.Module, shape: tuple[int, int, int] = SHAPE) -> Network:
    return Network(module, shape, (0.0,) * 3, (1.0,) * 3)


def raw_output(network: Network, x: Tensor, layer: str) -> Tensor:
    """What a layer gives, as it gives it."""
    outputs: list[Tensor] = []
    part = network.module.get_submodule(layer)
    handle = part.register_forward_hook(lambda _, __, output: outputs.append(output))
    network.module(network.normalized(x))
    handle.remove()
    return outputs[-1]


@pytest.fixture(scope="module")
def convnext() -> Network:
    torch.manual_seed(0)
    return hosted(torchvision.models.convnext_tiny(weights=None, num_classes=5), (3, 64, 96))


def test_every_layer_of_convnext(convnext: Network) -> None:
    inside = {"1", "2", "3", "4", "5"}  # of a block: permute, norm, linear, GELU and linear again
    for name in convnext.layers:
        *_, block, number = ("", *name.split("."))
        is_last = block == "block" and number in inside
        assert convnext.layouts[name] == Layout(LAST if is_last else (-3, -2, -1)), name
    assert not convnext.unavailable
    layer = "features.1.0.block.3"
    assert convnext.output_shapes[layer] == (384, 16, 24)
    x = torch.rand(2, 3, 64, 96)
    found = convnext.activations(x, [layer])[layer]
    assert torch.equal(found, raw_output(convnext, x, layer).permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("build", "layouts"),
    [
        (ChannelsLast, dict.fromkeys(("norm", "up", "act", "down"), LAST)),
        (
            SwinLike,
            dict.fromkeys(
                ["norm", "window", "merge.norm", "merge.reduction", "merge", "second"],
                LAST,
            ),
        ),
        (
            Odd,
            dict.fromkeys(("turned", "squared", "by_weights", "by_letters"), TURNED)
            | {"assigned": LAST},
        ),
        (Tokens, {}),
    ],
)
def test_layouts(build: Callable[[], nn.Module], layouts: dict[str, tuple[int, int, int]]) -> None:
    network = hosted(build())
    assert {name: one.axes for name, one in network.layouts.of_layers.items()} == layouts


def test_what_is_no_map_is_named() -> None:
    network = hosted(Tokens())
    assert set(network.unavailable) == {"norm", "q", "k", "v", "k_norm", "soft"}
    assert "(109, 8) is a sequence" in network.unavailable["norm"]
    assert "(2, 109, 4) are not channels, rows and columns" in network.unavailable["k_norm"]
    infos = {info.name: info for info in describe(network)}
    assert infos["soft"].unavailable == network.unavailable["soft"]
    assert infos["soft"].receptive_field is None
    assert check_layer(network, LayerPath("logits", 1), "") == "patches"
    with pytest.raises(ValueError, match="rows and columns of k_norm"):
        check_layer(network, LayerPath("logits", 1), "k_norm")
    windows = hosted(SwinLike())
    assert {"window.soft", "window.k_norm", "window.qkv"} <= set(windows.unavailable)


@pytest.mark.parametrize("name", ["swin_t", "shufflenet_v2_x0_5", "mobilenet_v3_small"])
def test_layouts_of_torchvision(name: str) -> None:
    torch.manual_seed(0)
    network = hosted(torchvision.models.get_model(name, weights=None), (3, 64, 96))
    standard = {n for n, s in network.output_shapes.items() if len(s) == 3} - set(
        network.layouts.of_layers
    )
    assert not network.unavailable
    if name == "swin_t":
        assert standard == {"features.0.0", "permute", "avgpool"}
        assert set(network.layouts.of_layers.values()) == {Layout(LAST)}
    else:
        assert not network.layouts.of_layers


@pytest.mark.parametrize("axes", [LAST, TURNED, (-2, -3, -1)])
def test_restored(axes: tuple[int, int, int]) -> None:
    x = torch.rand(2, 3, 4, 5)
    layout = Layout(axes)
    assert torch.equal(layout.restore(layout.present(x)), x)


@pytest.mark.parametrize(("build", "layer"), [(ChannelsLast, "up"), (SwinLike, "window")])
def test_grad_cam_by_its_definition(build: Callable[[], nn.Module], layer: str) -> None:
    network, x = hosted(build()), torch.rand(1, *SHAPE)
    outputs: list[Tensor] = []
    part = network.module.get_submodule(layer)
    handle = part.register_forward_hook(lambda _, __, output: outputs.append(output))
    score = network.module(x.clone().requires_grad_())[0, 3]
    handle.remove()
    (grad,) = torch.autograd.grad(score, outputs[0])  # (1, H, W, C)
    maps = F.relu((grad.mean((1, 2), keepdim=True) * outputs[0]).sum(3))[None]
    right = F.interpolate(maps, SHAPE[1:], mode="bilinear", align_corners=False)
    path = LayerPath("logits", 3)
    found = grad_cam(network, path, check_layer(network, path, layer))(x, path).values
    assert right.max() > 0
    torch.testing.assert_close(found, right)


@pytest.mark.parametrize("path", [LayerPath("up", 9), LayerPath("up", 9, (2, 11))])
def test_gradient_of_a_unit(path: LayerPath) -> None:
    network, x = hosted(ChannelsLast()), torch.rand(2, *SHAPE)
    pixels = x.clone().requires_grad_()
    output = raw_output(network, pixels, "up")  # (2, 9, 12, 12)
    right = output[:, 2, 11, 9] if path.position else output[..., 9].mean((1, 2))
    (grad,) = torch.autograd.grad(right.sum(), pixels)
    found = solve(saliency(x, activation([path, path])), network)
    torch.testing.assert_close(found.score, right.detach())
    torch.testing.assert_close(found.values, grad.abs())


def test_logits_without_a_unit() -> None:
    network, x = hosted(ChannelsLast()), torch.rand(2, *SHAPE)

    def zeroed(output: Tensor) -> Tensor:
        output[:, 9] = 0
        return output

    def by_hand(_: nn.Module, __: object, output: Tensor) -> Tensor:
        return output * (torch.arange(12) != 9)

    handle = network.module.get_submodule("act").register_forward_hook(by_hand)
    right = network.module(x)
    handle.remove()
    torch.testing.assert_close(network.logits_with(x, "act", zeroed), right)


@pytest.mark.parametrize("path", [LayerPath("down", 5), LayerPath("down", 5, (1, 10))])
def test_methods_on_copies_explain_the_same_unit(path: LayerPath) -> None:
    network, x = hosted(ChannelsLast()), torch.rand(1, *SHAPE)
    output = network.activations(x, ["down"])["down"][0, 5]
    right = output[1, 10] if path.position else output.mean()
    for method in (guided_backprop, lambda n, p: deep_lift(n, p, 0.0)):
        try:
            found = method(network, path)(x, path)
        except MethodNotApplicable as error:  # layer norm has no rule of DeepLift's
            assert "LayerNorm" in str(error)  # noqa: PT017
            continue
        torch.testing.assert_close(found.score[0], right)


def test_receptive_field_is_the_support_of_the_gradient() -> None:
    network = hosted(ChannelsLast())
    pixels = torch.rand(1, *SHAPE, requires_grad=True)
    (grad,) = torch.autograd.grad(raw_output(network, pixels, "down")[0, 2, 11].sum(), pixels)
    rows, columns = (grad[0].abs().amax(0) > 0).nonzero(as_tuple=True)
    field = next(info for info in describe(network) if info.name == "down").receptive_field
    assert field is not None
    top, left = 2 * field.jump_y, 11 * field.jump_x
    assert [int(rows.min()), int(rows.max()) + 1] == [top, top + field.height]
    assert [int(columns.min()), int(columns.max()) + 1] == [left, left + field.width]
