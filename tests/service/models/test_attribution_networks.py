"""Attributions of the networks that are served: the embedded ones, the published CIFAR one, and
torchvision's with random weights.
"""

import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from interp.attribution.deep_lift import deep_lift
from interp.attribution.grad_cam import check_layer, grad_cam
from interp.attribution.guided_backprop import guided_backprop
from interp.attribution.integrated_gradients import integrated_gradients
from interp.attribution.lrp import lrp
from interp.attribution.result import MethodNotApplicable
from interp.layer import LOGITS, LayerPath
from interp.network.architectures import CifarTwin, LeNet5
from interp.network.network import Network
from interp.objective import activation
from interp.probe import solve
from service.models.initialization import randomize
from tests.e2e.conftest import WEIGHTS
from tests.interp.attribution.oracles_rectifiers import Guided, Rectifying
from tests.interp.toys_networks import cifar, trained_resnet

CLASS = LayerPath(LOGITS, 1)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def embedded(name: str, module: nn.Module, channels: int) -> Network:
    module.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    return Network(module, (channels, 32, 32), MEAN[:channels], STD[:channels])


def random(name: str, size: int = 64) -> Network:
    options = {"init_weights": False} if name == "googlenet" else {}
    module = torchvision.models.get_model(name, weights=None, **options).eval()
    randomize(module, (3, size, size), MEAN, STD)
    return Network(module, (3, size, size), MEAN, STD)


def gradient(network: Network, x: Tensor) -> Tensor:
    """Of class 1 with respect to normalized images."""
    z = network.normalized(x).detach().requires_grad_()
    (grad,) = torch.autograd.grad(network.module(z)[:, 1].sum(), z)
    return grad


def check(network: Network, x: Tensor, rectified: bool = True) -> None:
    """What every method promises, to float32's precision."""
    logits = network.logits(x)[:, 1]
    found = deep_lift(network, CLASS)(x, CLASS)
    assert found.delta is not None
    assert found.delta.abs().item() < 1e-3 * max(1, found.values.abs().sum().item() / 100)
    assert found.score.item() == pytest.approx(logits.item(), rel=1e-3, abs=1e-4)
    relevance = lrp(network, CLASS)(x, CLASS).values
    if rectified:  # the epsilon rule is then input times gradient, and guided backprop is defined
        expected = gradient(network, x) * network.normalized(x)
        assert (relevance - expected).abs().max() < 1e-3 * expected.abs().max()
        with Rectifying(Guided.apply):
            guided = gradient(network, x) / torch.tensor(STD[: x.shape[1]]).view(1, -1, 1, 1)
        values = guided_backprop(network, CLASS)(x, CLASS).values
        assert (values - guided).abs().max() < 1e-3 * guided.abs().max()
    cam = grad_cam(network, CLASS, check_layer(network, CLASS, ""))(x, CLASS).values
    assert cam.shape == (1, 1, *x.shape[2:])
    assert cam.min() >= 0


def noise(size: int, channels: int = 3) -> Tensor:
    return torch.rand(1, channels, size, size, generator=torch.Generator().manual_seed(3))


def test_digits_lenet5() -> None:
    network = embedded("digits-lenet5", LeNet5(), 1)
    check(network, noise(32, 1), rectified=False)
    delta = solve(integrated_gradients(noise(32, 1), activation([CLASS]), 40), network).delta
    assert delta is not None
    assert delta.abs().item() < 1e-4, "a smooth network takes few steps"
    with pytest.raises(MethodNotApplicable, match="no rectifiers"):
        guided_backprop(network, CLASS)


def test_cifar10_plain() -> None:
    check(embedded("cifar10-plain", CifarTwin(), 3), noise(32))


def test_cifar_resnet20() -> None:
    network = trained_resnet()
    for image in cifar(2)[0]:
        check(network, image[None])


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_torchvision(name: str) -> None:
    check(random(name), noise(64))


def test_what_is_refused_says_which_network() -> None:
    network = random("efficientnet_b0", 32)
    for method in (deep_lift, lrp):
        with pytest.raises(
            MethodNotApplicable, match=r"does not apply to EfficientNet: it cannot treat .*mul"
        ):
            method(network, CLASS)
