"""The folded copy is the module's own function, wherever there is one; and what is odd about a
module stays as it is.
"""

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from interp.attack.losses import cross_entropy
from interp.layer import LayerPath
from interp.network.architectures import CifarResNet, CifarTwin, LeNet5
from interp.network.folding.fold import fold_batch_norms
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Probe
from tests.interp.network.toys_odd_networks import (
    KEPT,
    LABELS,
    ODD_BUT_TRACED,
    Body,
    Dropped,
    Noisy,
    Shifted,
    built,
    hosted,
    lively,
    norms,
    seen,
)
from tests.interp.toys_networks import images, tricky


def test_weights_are_those_worked_out_by_hand() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
        nn.BatchNorm1d(5),
    )
    module: Any = lively(net)
    copied = fold_batch_norms(module, images(2))
    assert copied is not None
    found: Any = copied.module
    for layer, norm in (("0", module[1]), ("4", module[5])):
        own, new = module.get_submodule(layer), found.get_submodule(layer)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        bias = own.bias if own.bias is not None else 0.0
        torch.testing.assert_close(
            new.weight, own.weight * scale.view(-1, *[1] * (own.weight.ndim - 1))
        )
        torch.testing.assert_close(new.bias, norm.bias + scale * (bias - norm.running_mean))
    assert norms(found) == 0


NETWORKS: dict[
    str, tuple[Callable[[], nn.Module], int, int]
] = {  # -> (build, size, batch norms that are not folded)
    "cifar resnet": (lambda: CifarResNet(8), 16, 0),
    "cifar twin": (CifarTwin, 16, 0),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=7), 64, 0),
    "googlenet": (  # the heads for training, with two norms, do not run
        lambda: torchvision.models.googlenet(
            weights=None, num_classes=7, transform_input=True, init_weights=False
        ),
        64,
        2,
    ),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(num_classes=7), 64, 0),
    "densenet": (
        lambda: torchvision.models.DenseNet(8, (2, 2), 16, num_classes=7),
        64,
        6,
    ),  # those after a concatenation, and the last
}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_gradients_are_those_of_the_module(name: str) -> None:
    build, size, left = NETWORKS[name]
    module = built(build)
    state = copy.deepcopy(module.state_dict())
    copied = fold_batch_norms(module, images(2, size))
    assert copied is not None
    found = copied.module
    assert norms(found) == left < norms(module)
    assert not found.training
    assert not any(p.requires_grad for p in found.parameters())
    x = images(3, size + 32 if size == 64 else size, seed=5)
    for actual, expected in zip(seen(found, x), seen(module, x), strict=True):
        torch.testing.assert_close(
            actual, expected, rtol=0, atol=1e-10 * float(expected.abs().max())
        )
        assert expected.abs().max() > 0
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


LAYERED = {  # -> (build, size, every how many-th layer is climbed)
    **{
        name: (build, min(size, 32), 1)
        for name, (build, size, _) in NETWORKS.items()
        if name not in ("googlenet", "mobilenet_v2")
    },
    "googlenet": (NETWORKS["googlenet"][0], 32, 4),
    "mobilenet_v2": (NETWORKS["mobilenet_v2"][0], 32, 3),
    "densenet121": (lambda: torchvision.models.densenet121(num_classes=7), 32, 12),
}


@pytest.mark.parametrize("name", LAYERED)
def test_every_layer_is_answered_as_by_the_module_itself(name: str) -> None:
    build, size, every = LAYERED[name]
    own, fast = (
        Network(built(build), (3, size, size), [0.4] * 3, [0.3] * 3, dtype=torch.float64, fold=fold)
        for fold in (False, True)
    )
    copied, sizes = fold_batch_norms(fast.module, fast.normalized(images(2, size))), list[int]()
    assert copied is not None
    before_norms = set(fast.layers) - copied.layers
    assert len(before_norms) == norms(fast.module) - norms(copied.module)
    assert all(isinstance(fast.module.get_submodule(layer), nn.Conv2d) for layer in before_norms)

    handle = fast.for_logits.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    x, after = images(2, size, seed=5), [layer for layer in fast.layers if layer in copied.layers]
    expected = own.activations(x, [*fast.layers, "logits"])
    for layer, actual in fast.activations(x, [*after, "logits"]).items():
        torch.testing.assert_close(
            actual, expected[layer], rtol=0, atol=1e-10 * float(expected[layer].abs().max())
        )
    climbed = after[::-1][::every]
    probe = Probe(
        images(len(climbed), size, seed=6), activation([LayerPath(layer) for layer in climbed])
    )
    grads = [network.answer([probe])[0].grad for network in (fast, own)]
    assert sizes == [2, len(climbed)]
    for actual, wanted in zip(*grads, strict=True):
        assert wanted.abs().max() > 0
        torch.testing.assert_close(actual, wanted, rtol=0, atol=1e-9 * float(wanted.abs().max()))

    for layer, actual in fast.activations(x, sorted(before_norms)).items():
        torch.testing.assert_close(actual, expected[layer], rtol=0, atol=0)
    assert len(sizes) == 2
    handle.remove()


@pytest.mark.parametrize("kind", [*KEPT, LeNet5], ids=lambda kind: kind.__name__)
def test_there_is_no_copy_of_what_is_not_surely_the_same_or_has_nothing_to_fold(
    kind: type[nn.Module],
) -> None:
    module = built(kind)
    x = images(2, 32, channels=1) if kind is LeNet5 else images(2)
    module(x)  # or the copy would be refused for the wrong reason
    flags = [m.training for m in module.modules()]
    drawn = torch.get_rng_state(), random.getstate()
    assert fold_batch_norms(module, x) is None
    assert [m.training for m in module.modules()] == flags
    assert all(p.grad is None and not p.requires_grad for p in module.parameters())
    if kind not in (Noisy, Dropped, Shifted):
        assert torch.equal(torch.get_rng_state(), drawn[0])
        assert random.getstate() == drawn[1]


@pytest.mark.parametrize("kind", [Body, *KEPT, *ODD_BUT_TRACED], ids=lambda kind: kind.__name__)
def test_whatever_is_odd_about_a_network_is_answered_alike(kind: type[nn.Module]) -> None:
    x, results = images(3, seed=3), []
    for fold in (True, False):
        network = hosted(kind, fold)
        torch.manual_seed(4)
        if fold:
            assert (network.for_logits is not network.module) == (
                kind is Body or kind in ODD_BUT_TRACED
            )
        torch.manual_seed(5)
        (answer,) = network.answer([Probe(x, cross_entropy(LABELS), logits=True)])
        assert answer.grad is not None
        assert answer.logits is not None
        results.append((answer.logits, answer.grad, network.logits(x[:2]), network.logits(x[:1])))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-10)


def test_only_what_a_layer_gives_to_its_norm_is_asked_of_the_module_itself() -> None:
    network, sizes = tricky(), list[int]()
    assert network.for_logits is not network.module
    handle = network.for_logits.register_forward_pre_hook(
        lambda _, args: sizes.append(len(args[0]))
    )
    x, labels = images(4), torch.tensor([0, 1, 2])
    climb = activation([LayerPath("twice", 0)] * 3)
    network.answer(
        [Probe(x[:3], cross_entropy(labels)), Probe(x[:2], logits=True, layers=("norm", "stem.1"))]
    )
    assert sorted(sizes) == [2, 3]
    network.answer([Probe(x[:3], climb, redirect=True), Probe(x[:3], climb, logits=True)])
    assert sizes[2:] == [3, 3]
    network.logits(x[:1])
    network.activations(x[:1], ["stem", "act"])
    assert sizes[4:] == [1, 1]
    for layer in ("stem.0", "down"):
        network.activations(x, [layer])
        network.answer(
            [
                Probe(x[:3], climb + activation([LayerPath(layer)] * 3)),
                Probe(x, logits=True, layers=(layer,)),
            ]
        )
    handle.remove()
    assert len(sizes) == 6


def test_a_part_whose_output_is_that_of_the_layer_is_asked_of_the_module_itself() -> None:
    class Wrapped(Body):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.Conv2d(3, 6, 3)))  # type: ignore[assignment]

    network, x = hosted(Wrapped), images(2)
    found = fold_batch_norms(network.module, network.normalized(x))
    assert found is not None
    assert found.layers == {"conv.0", "norm", "head"}
    expected = hosted(Wrapped, fold=False).activations(x, network.layers)
    for layer in network.layers:
        torch.testing.assert_close(network.activations(x, [layer])[layer], expected[layer])


def test_the_weights_are_those_of_module_and_copy() -> None:
    network = hosted(Body)
    copied = network.for_logits
    own = [
        *network.module.parameters(),
        *network.module.buffers(),
        *copied.parameters(),
        *copied.buffers(),
    ]
    assert {t.data_ptr() for t in network.weights} == {t.data_ptr() for t in own}
    assert network.for_logits is copied


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions_are_folded_too(dtype: torch.dtype) -> None:
    module = built(Body).to(dtype)
    copied = fold_batch_norms(module, images(2, dtype=torch.float32).to(dtype))
    assert copied is not None
    assert {p.dtype for p in copied.module.parameters()} == {dtype}
