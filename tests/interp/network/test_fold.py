"""The folded copy is the module's own function, wherever there is one; and what is odd about a
module stays as it is.
"""

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from interp.attack.losses import cross_entropy
from interp.layer import LayerPath
from interp.network.architectures import CifarResNet, CifarTwin, LeNet5
from interp.network.fold import fold_batch_norms
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Probe
from tests.interp.toys_networks import images, tricky

LABELS = torch.tensor([0, 1, 2])


def lively(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in eval mode and float64, with batch norms that do something."""
    generator = torch.Generator().manual_seed(seed)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
        for values in (norm.running_mean, norm.bias):
            values.data.normal_(0, 0.3, generator=generator)  # type: ignore[union-attr]
        for values in (norm.running_var, norm.weight):
            values.data.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
    return module.eval().requires_grad_(False).double()


def built(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return lively(build())


def hosted(build: Callable[[], nn.Module], fold: bool = True) -> Network:
    return Network(built(build), (3, 8, 8), [0.4] * 3, [0.3] * 3, dtype=torch.float64, fold=fold)


def norms(module: nn.Module) -> int:
    return sum(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in module.modules())


def seen(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    point = x.clone().requires_grad_()
    logits = module(point)
    (grad,) = torch.autograd.grad(F.cross_entropy(logits, LABELS[: len(x)], reduction="sum"), point)
    return logits.detach(), grad


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


class Body(nn.Module):
    """Convolution, batch norm, rectifier, head: something to fold, and a place for something odd
    before and after.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 4)

    def before(self, x: Tensor) -> Tensor:
        return x

    def after(self, logits: Tensor) -> Tensor:
        return logits

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(self.before(x))))
        return self.after(self.head(x.mean((2, 3))))


class Before(nn.Sequential):
    """The norm before the convolution, as in a pre-activation network."""

    def __init__(self) -> None:
        super().__init__(
            nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )


class TwoUsers(Body):
    """The convolution's output goes elsewhere too."""

    def forward(self, x: Tensor) -> Tensor:
        seen = self.conv(x)
        return self.head((self.norm(seen) + seen).mean((2, 3)))  # type: ignore[no-any-return]


class TwoCalls(Body):
    """The convolution is called once more, without the norm."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head((F.relu(self.norm(self.conv(x))) - self.conv(x.flip(3))).mean((2, 3)))  # type: ignore[no-any-return]


class Forgotten(torch.autograd.Function):
    """The identity, with a gradient of zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        return x * 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return torch.zeros_like(grad)


class Invisible(Forgotten):
    """Leaves no trace in a symbolic trace."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        return x


class Killed(Body):
    def before(self, x: Tensor) -> Tensor:
        return 0.999 * Forgotten.apply(x) + 0.001 * x  # type: ignore[no-any-return]


class Unseen(Body):
    def before(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            half = 0.5 * x
        return half + 0.5 * x


class Detached(Body):
    def before(self, x: Tensor) -> Tensor:
        return 0.5 * x.detach() + 0.5 * x


class Quantized(Body):
    def before(self, x: Tensor) -> Tensor:
        return (x * 4).round() / 4 + 0.001 * x


class Softmax(Body):
    def after(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)


class Noisy(Body):
    def before(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


class Dropped(Body):
    def before(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.3, training=True)


class Shifted(Body):
    """The choice is made by Python, and its draw would become a constant."""

    def before(self, x: Tensor) -> Tensor:
        return x.roll(1 if random.random() < 1e-9 else 0, 3)


class Training(Body):
    """Its batch norm trains, whatever it is told."""

    def train(self, mode: bool = True) -> "Training":
        super().train(mode)
        self.norm.train()
        return self


class BatchBound(Body):
    """Normalizes by the batch, without leaving a trace."""

    def before(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, training=True)


class Counting(Body):
    """Behaves differently on every hundredth call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def before(self, x: Tensor) -> Tensor:
        self.calls += 1
        return -x if self.calls % 100 == 0 else x


class Tallied(Body):
    """Counts its calls in a buffer."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def before(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


class Branching(Body):
    def before(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0.1 else -x


class Hooked(Body):
    def __init__(self) -> None:
        super().__init__()
        self.conv.register_forward_pre_hook(lambda _, args: (args[0].flip(3),))


class Uncopied(Body):
    def __deepcopy__(self, memo: Any) -> "Uncopied":
        raise RuntimeError("there is one of me")


class Between(Body):
    """The layer's output reaches its norm by a way that passes no gradient back."""

    def forward(self, x: Tensor) -> Tensor:
        between = Invisible.apply(self.conv(x))
        x = F.relu(self.norm(between)) + x.square().mean((1, 2, 3), keepdim=True)
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


class Named(Body):
    """Its norm has a second name, by which it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.also = self.norm

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.also(self.conv(x))).mean((2, 3)))  # type: ignore[no-any-return]


class Reader(Body):
    """Takes the norm's weights without calling it."""

    def after(self, logits: Tensor) -> Tensor:
        return logits * self.norm.weight.sum()


class Borrowed(Body):
    """Takes the convolution's weights without calling it."""

    def after(self, logits: Tensor) -> Tensor:
        return logits * self.conv.weight.sum()


KEPT = [
    Noisy,
    Dropped,
    Shifted,
    Training,
    Counting,
    Tallied,
    Branching,
    Hooked,
    Uncopied,
    TwoUsers,
    TwoCalls,
    Before,
    Reader,
    Borrowed,
]
ODD_BUT_TRACED = [
    Killed,
    Unseen,
    Detached,
    Quantized,
    Softmax,
    BatchBound,
    Between,
    Named,
]  # the copy has the same oddity


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


def test_a_network_that_is_told_not_to_fold_answers_by_itself() -> None:
    network = hosted(Body, fold=False)
    assert network.for_logits is network.module
    assert {id(t) for t in network.weights} == {
        id(t) for t in (*network.module.parameters(), *network.module.buffers())
    }


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


def halve(module: Any) -> None:
    module.conv.weight.mul_(0.5)


def load(module: Any) -> None:
    module.load_state_dict(built(Body, seed=1).state_dict())


def replace(module: Any) -> None:
    module.norm = nn.Identity()


def exchange(module: Any) -> None:
    module.head.bias = nn.Parameter(torch.ones(4, dtype=torch.float64), requires_grad=False)


def train(module: Any) -> None:
    module.train()


@pytest.mark.parametrize("change", [halve, load, replace, exchange, train])
def test_a_module_that_was_changed_afterwards_answers_for_itself(
    change: Callable[[nn.Module], None],
) -> None:
    network, x = hosted(Body), images(3)
    before = network.logits(x)
    assert network.for_logits is not network.module
    with torch.no_grad():
        change(network.module)
    expected = copy.deepcopy(network.module)((x - 0.4) / 0.3)
    assert not torch.allclose(expected, before)
    torch.testing.assert_close(network.logits(x), expected)


def test_while_a_module_is_hooked_it_answers_for_itself() -> None:
    network, x = hosted(Body), images(2)
    copied = network.for_logits
    handle = network.module.get_submodule("head").register_forward_hook(
        lambda _, __, output: output * 0
    )
    assert not network.logits(x).any()
    handle.remove()
    assert network.for_logits is copied
    assert network.logits(x).any()


def test_a_copy_made_in_inference_mode_can_be_differentiated_later() -> None:
    network, x = hosted(Body), images(3)
    with torch.inference_mode():
        network.logits(x)
    assert network.for_logits is not network.module
    (answer,) = network.answer([Probe(x, cross_entropy(LABELS))])
    assert answer.grad is not None
    assert answer.grad.any()


def test_a_network_whose_forward_pass_fails_is_as_it_was() -> None:
    class Fragile(Body):
        def before(self, x: Tensor) -> Tensor:
            if len(x) > 1:
                raise ZeroDivisionError("on purpose")
            return x

    network = hosted(Fragile)
    versions = [t._version for t in (*network.module.parameters(), *network.module.buffers())]
    assert network.for_logits is network.module
    assert versions == [
        t._version for t in (*network.module.parameters(), *network.module.buffers())
    ]
    assert torch.is_grad_enabled()
    assert network.logits(images(1)).shape == (1, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions_are_folded_too(dtype: torch.dtype) -> None:
    module = built(Body).to(dtype)
    copied = fold_batch_norms(module, images(2, dtype=torch.float32).to(dtype))
    assert copied is not None
    assert {p.dtype for p in copied.module.parameters()} == {dtype}
