"""FGSM and PGD against captum, against a plain loop, and against the best attack of a linear
network, which is known exactly.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captum.robust import FGSM, PGD
from torch import Tensor

from interp.attack.base import Method, attack
from interp.attack.evaluate import AdversarialExamples
from interp.attack.goal import MARGIN
from interp.attack.pgd import fgsm, pgd
from interp.network.architectures import CifarResNet
from interp.network.network import Network
from interp.probe import solve
from tests.interp.toys_networks import (
    Wired,
    cifar,
    images,
    linear,
    plain,
    raw,
    trained_resnet,
    tricky,
)

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run(
    network: Network, x: Tensor, labels: Tensor | None, method: Method, **options: Any
) -> AdversarialExamples:
    return solve(attack(x, labels, method, **options), network)


def steady(**options: Any) -> Method:
    """PGD as other libraries have it: from the image itself, all steps, the last iterate."""
    return pgd(random_start=False, keep_best=False, stop_when_fooled=False, **options)


def random_resnet() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(CifarResNet(8), (3, 32, 32), *IMAGENET)


def by_captum(
    kind: Any, model: Wired, x: Tensor, classes: Tensor, targeted: bool, **options: Any
) -> Tensor:
    peer = kind(
        model,
        loss_func=lambda logits, y: F.cross_entropy(logits, y, reduction="none"),
        lower_bound=0,
        upper_bound=1,
    )
    (peer.fgsm if kind is PGD else peer).zero_thresh = 0
    perturbed: Tensor = peer.perturb(
        x.clone(), target=classes, targeted=targeted, **options
    ).detach()
    return perturbed


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("build", [random_resnet, trained_resnet])
def test_linf_attacks_are_those_of_captum(build: Callable[[], Network], targeted: bool) -> None:
    network = build()
    if build is trained_resnet:
        x, labels = cifar(16)
    else:
        x, labels = images(6, 32, torch.float32), torch.arange(6)
    model, targets = Wired(network, *IMAGENET), (labels + 3) % 10
    classes = targets if targeted else labels
    options = {"targets": targets} if targeted else {}
    for eps in (2 / 255, 8 / 255):
        ours = run(network, x, labels, fgsm(), epsilon=eps, **options)
        torch.testing.assert_close(
            ours.images,
            by_captum(FGSM, model, x, classes, targeted, epsilon=eps),
            rtol=0,
            atol=1e-6,
        )
        ours = run(network, x, labels, steady(step=eps / 4, steps=7), epsilon=eps, **options)
        theirs = by_captum(
            PGD, model, x, classes, targeted, radius=eps, step_size=eps / 4, step_num=7
        )
        torch.testing.assert_close(ours.images, theirs, rtol=0, atol=1e-6)
        assert ours.gradients == 7 * len(x)
        prediction = model(theirs).argmax(1)
        assert torch.equal(ours.prediction, prediction)
        assert torch.equal(
            ours.succeeded, prediction == targets if targeted else prediction != labels
        )
        assert torch.equal(ours.clean_prediction, model(x).argmax(1))
        torch.testing.assert_close(ours.norm, (theirs - x).abs().amax((1, 2, 3)), rtol=0, atol=1e-6)


def own_l2(
    loss: Callable[[Tensor], Tensor], x: Tensor, eps: float, step: float, steps: int
) -> Tensor:
    """Projected gradient ascent in L2, row by row, written out."""
    rows = []
    for centre in x:
        z = centre.clone()
        for _ in range(steps):
            point = z[None].clone().requires_grad_()
            (grad,) = torch.autograd.grad(loss(point).sum(), point)
            z = z + step * grad[0] / grad[0].pow(2).sum().sqrt()
            length = (z - centre).pow(2).sum().sqrt()
            if length > eps:
                z = centre + (z - centre) * (eps / length)
            z = z.clamp(0, 1)
        rows.append(z)
    return torch.stack(rows)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("eps", [0.05, 0.4, 2.0])
def test_l2_attacks_are_those_of_a_plain_loop(eps: float, targeted: bool) -> None:
    network, x = tricky(), images(4)
    label, target = 1, 3
    chosen, sign = (target, -1.0) if targeted else (label, 1.0)

    def loss(point: Tensor) -> Tensor:
        return -sign * plain(raw(network), point)["logits"].log_softmax(1)[:, chosen]

    options = {"targets": torch.full((4,), target)} if targeted else {}
    labels = torch.full((4,), label)
    ours = run(network, x, labels, steady(step=eps / 3, steps=9), epsilon=eps, p=2, **options)
    torch.testing.assert_close(ours.images, own_l2(loss, x, eps, eps / 3, 9), rtol=0, atol=1e-9)
    ours = run(network, x, labels, fgsm(), epsilon=eps, p=2, **options)
    torch.testing.assert_close(ours.images, own_l2(loss, x, eps, eps, 1), rtol=0, atol=1e-9)


def test_another_loss_may_be_raised() -> None:
    network, x, labels = tricky(), images(3), torch.tensor([0, 1, 2])
    wrong = torch.nn.functional.one_hot(labels, 5).bool()

    def loss(point: Tensor) -> Tensor:
        logits = plain(raw(network), point)["logits"]
        return logits.masked_fill(wrong[row : row + 1], -torch.inf).amax(1) - logits[:, labels[row]]

    expected = []
    for row in range(3):
        expected.append(own_l2(loss, x[row : row + 1], 0.3, 0.1, 5))
    ours = run(network, x, labels, steady(step=0.1, steps=5, loss=MARGIN), epsilon=0.3, p=2)
    torch.testing.assert_close(ours.images, torch.cat(expected), rtol=0, atol=1e-9)


def test_tiny_gradients_move_as_far_as_large_ones() -> None:
    weight = torch.randn(2, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    for scale in (1e-300, 1e-170, 1e-30, 1.0):
        found = run(
            linear(scale * weight, torch.zeros(2), (3, 2, 2)),
            x,
            torch.tensor([0]),
            fgsm(),
            epsilon=0.1,
            p=2,
        )
        assert found.norm.item() == pytest.approx(0.1, rel=1e-9)


# A linear network with two classes: the most that a perturbation can gain is eps * ||w||_q, 1/p +
# 1/q = 1.


def linear_pair() -> tuple[Network, Tensor, Tensor, Tensor]:
    """A network, images amid the box, the margins of class 0 on them, and the weights that lower
    these.
    """
    rng = torch.Generator().manual_seed(1)
    weight = torch.randn(2, 48, generator=rng, dtype=torch.float64)
    x = 0.4 + 0.2 * torch.rand(5, 3, 4, 4, generator=rng, dtype=torch.float64)
    w = weight[1] - weight[0]
    against = x.flatten(1) @ w
    bias = 2 + against.max()
    return linear(weight, torch.stack([bias, bias.new_zeros(())]), (3, 4, 4)), x, bias - against, w


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(("p", "q"), [(math.inf, 1), (2, 2)])
def test_the_gain_on_a_linear_network_is_the_best_possible(
    p: float, q: float, targeted: bool
) -> None:
    network, x, margins, w = linear_pair()
    options = {"targets": torch.ones(5, dtype=torch.long)} if targeted else {}
    best = 0.02 * w.norm(q).item()
    assert margins.min() > best  # or rows would leave before they are at the end
    for method in (
        fgsm(),
        pgd(),
        pgd(random_start=False),
        steady(step=0.001, steps=40),
    ):
        labels = torch.zeros(5, dtype=torch.long)
        found = run(network, x, labels, method, epsilon=0.02, p=p, **options)
        gained = (found.images - x).flatten(1) @ w
        assert (gained <= best * (1 + 1e-9)).all()
        nearly = (
            0.95 if p == 2 and not method.starts_at_x else 1 - 1e-9
        )  # only there the way to the best point has no end
        assert (gained >= best * nearly).all()
        torch.testing.assert_close(
            found.norm, torch.full((5,), 0.02, dtype=torch.float64), rtol=1e-9, atol=0
        )
