"""A network of one output and two labels is the network of the two logits (0, z)."""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.attack.apgd import apgd
from interp.attack.base import attack
from interp.attack.fab import fab
from interp.attack.goal import least_likely, random_class
from interp.attack.losses import cross_entropy
from interp.attack.pgd import fgsm, pgd
from interp.attack.square import square
from interp.network.load_checks.one_logit import LIKE_PROBABILITIES, READ_BACK, with_two_logits
from interp.network.network import Network
from interp.probe import Probe, solve
from service.config import ModelTable
from service.models.zoo import HostedModel, ModelError, ModelZoo
from tests.service.models.test_networks import at_once

SHAPE, MEAN, STD = (3, 8, 8), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
LABELS = ("no", "yes")


def trunk(outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, outputs)
    ).eval()


class Flat(nn.Module):
    """(B,)"""

    def __init__(self) -> None:
        super().__init__()
        self.inner = trunk()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)
        return logits.squeeze(1)


class FlatProbability(nn.Module):
    """(B,), by a module of torch that the last thing follows."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = trunk(), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        probability: Tensor = self.last(self.inner(x))
        return probability.view(-1)


class Function(nn.Module):
    """Its sigmoid is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = trunk()

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.inner(x))


class Shared(nn.Module):
    """One sigmoid for gates and for the output: it cannot be taken away."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.sigmoid = trunk(), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gated = x * self.sigmoid(x)
        probability: Tensor = self.sigmoid(self.inner(gated))
        return probability


class TwoLogits(nn.Module):
    """The oracle: the same network, written with two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = trunk()

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.inner(x)
        return torch.cat([torch.zeros_like(z), z], 1)


FACTORIES: dict[str, Callable[[], nn.Module]] = {
    "logit": trunk,
    "flat": Flat,
    "sigmoid": lambda: nn.Sequential(*trunk(), nn.Sigmoid()),
    "flat_sigmoid": FlatProbability,
    "function": Function,
}


@pytest.fixture(scope="module", autouse=True)
def factories() -> Iterator[None]:
    module = ModuleType("one_logit_factories")
    for name, factory in {**FACTORIES, "shared": Shared, "three": lambda: trunk(3)}.items():
        setattr(module, name, factory)
    sys.modules[module.__name__] = module
    yield
    del sys.modules[module.__name__]


def hosted(name: str, labels: tuple[str, ...] | None = LABELS) -> HostedModel:
    table = ModelTable(
        factory=f"one_logit_factories:{name}", size=8, mean=MEAN, std=STD, labels=labels
    )
    return ModelZoo(None, {"net": table}, at_once, dtype=torch.float64).load("net")


@pytest.fixture(scope="module")
def oracle() -> Network:
    return Network(TwoLogits(), SHAPE, MEAN, STD, dtype=torch.float64)


def images(count: int = 4) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("name", FACTORIES)
def test_logits_and_gradients_are_those_of_two_logits(name: str, oracle: Network) -> None:
    model, x = hosted(name), images()
    assert model.classes == LABELS
    assert model.network.output_shapes["logits"] == (2,)
    labels = torch.tensor([0, 1, 1, 0])
    ours, theirs = (
        n.answer([Probe(x, cross_entropy(labels), logits=True)])[0] for n in (model.network, oracle)
    )
    assert ours.logits is not None
    assert theirs.logits is not None
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-9)
    # the second probability is the sigmoid, and the loss the binary cross-entropy of torch
    z = trunk().double()((x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1))
    torch.testing.assert_close(ours.logits.softmax(1)[:, 1], z.flatten().sigmoid().detach())
    bce = F.binary_cross_entropy_with_logits(z.flatten(), labels.double(), reduction="none")
    torch.testing.assert_close(ours.score, bce.detach(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", FACTORIES)
def test_attacks_are_those_on_two_logits(name: str, oracle: Network) -> None:
    network, x = hosted(name).network, images(3)
    for method in (
        fgsm(),
        pgd(steps=3),
        apgd(steps=3),
        apgd(steps=3, target_classes=9),
        fab(steps=3, target_classes=9),
        square(queries=5),
    ):
        for targets in (None, random_class, least_likely):
            ours, theirs = (
                solve(attack(x, None, method, epsilon=0.05, targets=targets), one)
                for one in (network, oracle)
            )
            torch.testing.assert_close(ours.images, theirs.images, rtol=0, atol=1e-6)
            assert torch.equal(ours.succeeded, theirs.succeeded)


@pytest.mark.parametrize("name", ["sigmoid", "flat_sigmoid"])
def test_a_sigmoid_module_does_not_saturate(name: str) -> None:
    module = FACTORIES[name]()
    with torch.no_grad():
        for parameter in list(module.parameters())[-2:]:
            parameter.mul_(1e4)
    x = images().float()
    twin, doubts = with_two_logits(module, x)
    assert not doubts
    with torch.no_grad():
        assert (module(x).flatten() % 1 == 0).all()  # 0 or 1, saturated
        assert (twin(x)[:, 1].abs() > 20).all()


def test_a_sigmoid_that_is_a_function_is_read_back_and_warned_of() -> None:
    assert any(READ_BACK in warning for warning in hosted("function").warnings)
    twin, doubts = with_two_logits(Shared(), images().float())
    assert doubts == (READ_BACK,)
    expected = Shared()(images().float()).logit()
    torch.testing.assert_close(twin(images().float())[:, 1:], expected, rtol=1e-4, atol=1e-5)


def test_outputs_between_0_and_1_without_a_sigmoid_are_doubted() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.clamp(0, 1).mean((1, 2, 3))[:, None]

    twin, doubts = with_two_logits(Mean(), images())
    assert doubts == (LIKE_PROBABILITIES,)
    torch.testing.assert_close(twin(images())[:, 1:], Mean()(images()))


def test_other_networks_are_left_alone() -> None:
    module = trunk(2)
    assert with_two_logits(module, images().float()) == (module, ())
    two = trunk(1)
    names = list(dict(two.named_modules()))
    twin, _ = with_two_logits(two, images().float())
    assert list(dict(twin.named_modules())) == names  # and layers keep theirs
    assert two(images(2).float()).shape == (2, 1)  # the module itself is not changed


def test_without_two_labels_it_is_a_network_of_one_class() -> None:
    assert hosted("logit", None).network.classes == 1
    assert hosted("logit", ("a",)).classes == ("a",)
    with pytest.raises(ModelError, match="1 class, but 3 labels are given; one logit takes two"):
        hosted("logit", ("a", "b", "c"))
    with pytest.raises(ModelError, match="or give two labels"):
        hosted("flat", None)
    with pytest.raises(ModelError, match="3 classes, but 2 labels"):
        hosted("three")


def test_the_digest_tells_the_two_apart() -> None:
    assert hosted("logit").digest != hosted("logit", None).digest
