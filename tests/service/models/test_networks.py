"""The networks that must work, randomly initialised: described, alive, and with the gradients of
plain autograd.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

import pytest
import torch
import torch.nn.functional as F
import torchvision

from interp.attack.base import attack
from interp.attack.losses import cross_entropy
from interp.attack.pgd import pgd
from interp.feature.settings import PictureSettings
from interp.feature.visualize import visualize_units
from interp.layer import LayerPath
from interp.probe import Probe, solve
from service.models.zoo import HostedModel, ModelZoo

T = TypeVar("T")

NAMES = [
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
]


def at_once(call: Callable[[], T]) -> "Future[T]":
    """Stands in for the engine: runs the call on the spot."""
    future: Future[T] = Future()
    try:
        future.set_result(call())
    except Exception as error:  # noqa: BLE001 - as the engine does
        future.set_exception(error)
    return future


@pytest.fixture(scope="module", params=NAMES)
def hosted(request: pytest.FixtureRequest) -> Iterator[HostedModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    zoo = ModelZoo(None, {}, at_once)
    yield zoo.load(request.param, "random")
    zoo.unload(request.param)
    torch.set_num_threads(threads)


def test_is_described(hosted: HostedModel) -> None:
    weights = torchvision.models.get_model_weights(hosted.name).DEFAULT
    assert (hosted.architecture, hosted.weights, len(hosted.digest)) == (hosted.name, "random", 64)
    assert hosted.classes == tuple(weights.meta["categories"])
    assert hosted.parameters == weights.meta["num_params"]
    assert hosted.memory_bytes >= 4 * hosted.parameters
    assert tuple(info.name for info in hosted.layers) == hosted.network.layers
    # torchvision counts a fused multiply-add as one operation, and a few other operations with it
    billions = sum(info.multiply_adds for info in hosted.layers if "." not in info.name) / 1e9
    assert billions == pytest.approx(weights.meta["_ops"], rel=0.02)


def test_gradients_are_those_of_plain_autograd(hosted: HostedModel) -> None:
    x = torch.rand(1, *hosted.network.shape, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([7])
    (answer,) = hosted.network.answer([Probe(x, cross_entropy(label), logits=True)])
    assert answer.grad is not None
    assert answer.logits is not None
    assert answer.score is not None

    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1)
        for v in (hosted.preprocessing.mean, hosted.preprocessing.std)
    )
    found = {}
    for module in (
        hosted.network.for_logits,
        hosted.network.module,
    ):  # the folded copy, where there is one, and the network itself
        pixels = x.clone().requires_grad_()
        logits = module((pixels - mean) / std)
        loss = F.cross_entropy(logits, label)
        (grad,) = torch.autograd.grad(loss, pixels)
        found[module] = logits.detach(), loss.detach(), grad
    logits, loss, grad = found[hosted.network.for_logits]

    assert 0.5 < float(logits.std()) < 50  # neither vanishing nor saturating
    assert float(grad.abs().max()) > 1e-5
    torch.testing.assert_close(answer.logits, logits, rtol=0, atol=1e-4 * float(logits.abs().max()))
    torch.testing.assert_close(answer.score, loss[None], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(answer.grad, grad, rtol=0, atol=1e-4 * float(grad.abs().max()))
    # Gradients of copy and network are compared in float64, in test_fold.py: rounding opens and
    # shuts rectifiers.
    logits, _, _ = found[hosted.network.module]
    torch.testing.assert_close(answer.logits, logits, rtol=0, atol=1e-4 * float(logits.abs().max()))


def test_is_visualized(hosted: HostedModel) -> None:
    layer = next(info.name for info in hosted.layers if info.type == "Conv2d")
    unit = LayerPath(layer, 3)
    like = torch.zeros(())
    start, end = (
        solve(
            visualize_units(
                [unit],
                like,
                PictureSettings(hosted.network.shape, steps, learning_rate=0.2, transforms=()),
            ),
            hosted.network,
        )
        for steps in (1, 5)
    )
    assert not end.dead.item()
    assert end.activation.item() > start.activation.item()
    assert end.images.shape == (1, *hosted.network.shape)


def test_is_attacked(hosted: HostedModel) -> None:
    x = torch.rand(1, *hosted.network.shape, generator=torch.Generator().manual_seed(1))
    label = hosted.network.logits(x).argmax(1)
    found = solve(
        attack(
            x,
            None,
            pgd(steps=2, random_start=False, keep_best=False, stop_when_fooled=False),
            epsilon=4 / 255,
        ),
        hosted.network,
    )
    before, after = (
        F.cross_entropy(hosted.network.logits(images), label) for images in (x, found.images)
    )
    assert after > before
    assert found.label.tolist() == found.clean_prediction.tolist() == label.tolist()
    assert found.norm.item() <= 4 / 255 + 1e-6
