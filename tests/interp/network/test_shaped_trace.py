"""Traces of networks that ask for shapes, and decide by them."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from interp.attribution.deep_lift import deep_lift
from interp.layer import LOGITS, LayerPath
from interp.network.folding.fold import fold_batch_norms
from interp.network.network import Network
from interp.network.shaped_trace import ShapedTracer
from tests.interp.toys_networks import images


class SamePadding(nn.Module):
    """As TensorFlow pads, by the size of the image, and pools only what is large enough."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        rows, columns = (max((math.ceil(n / 2) - 1) * 2 + 3 - n, 0) for n in (height, width))
        if rows > 0 or columns > 0:
            x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        x = self.norm(self.conv(x)).relu()
        if x.size(-1) > 2 and x.dim() == 4 and x.ndim == 4:
            x = F.avg_pool2d(x, 2)
        return x.reshape(batch, -1)[:, :3]


class Switched(nn.Module):
    """Its way depends on the contents of the image."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def module() -> nn.Module:
    torch.manual_seed(0)
    return SamePadding().double().eval()


@pytest.mark.parametrize("size", [7, 8])
def test_the_graph_is_the_module_for_any_number_of_images_of_one_size(size: int) -> None:
    net = module()
    with pytest.raises(fx.proxy.TraceError):
        fx.Tracer().trace(net)
    traced = fx.GraphModule(net, ShapedTracer(images(2, size)).trace(net))
    for rows in (1, 2, 5):
        torch.testing.assert_close(traced(images(rows, size)), net(images(rows, size)))


def test_what_depends_on_contents_is_not_traced() -> None:
    with pytest.raises(fx.proxy.TraceError):
        ShapedTracer(images(2)).trace(Switched())


def test_the_module_is_left_as_it_was() -> None:
    net = module()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    ShapedTracer(images(2)).trace(net)
    assert all(type(p) is nn.Parameter for p in net.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_such_networks_are_folded_and_explained() -> None:
    net = module()
    copied = fold_batch_norms(net, images(2))
    assert copied is not None
    assert not any(isinstance(m, nn.BatchNorm2d) for m in copied.module.modules())
    network = Network(net, (3, 8, 8), [0.4] * 3, [0.3] * 3, dtype=torch.float64)
    found = deep_lift(network, LayerPath(LOGITS, 1))(images(1), LayerPath(LOGITS, 1))
    assert found.delta is not None
    assert abs(float(found.delta)) < 1e-9
    assert float(found.values.abs().max()) > 0
