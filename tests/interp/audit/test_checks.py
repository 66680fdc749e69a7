"""The audit's checks of itself: each finds what it is for, none finds fault with a sound
network.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from interp.audit.checks import check_evaluation
from interp.audit.checks.check import LEVEL, Check, dominates, excess, gap
from interp.audit.checks.outputs import COLOUR, GRAY, enough_classes, normalization
from interp.audit.checks.slopes import check_gradients
from interp.network.network import Network
from interp.probe import solve
from interp.seeds import generators
from service.datasets import digits, held_out_digits
from tests.interp.audit.toys_broken import GRAY_FAULTS, IMAGENET, ZOO, cifar_resnet, embedded
from tests.interp.toys_networks import Counting, cifar, data, images, linear

LINF = [(math.inf, (8 / 255,))]


@cache
def _digits() -> tuple[Tensor, Tensor]:
    pixels, labels = digits()
    held_out = np.flatnonzero(held_out_digits(len(labels)))
    order = torch.from_numpy(np.random.default_rng(0).permutation(held_out))
    return pixels[order].float() / 255, labels[order].long()


def some_digits(first: int, rows: int) -> tuple[Tensor, Tensor]:
    """Digits (rows, 1, 32, 32) that were not trained on, in random order, and their labels."""
    pixels, labels = _digits()
    return pixels[first : first + rows], labels[first : first + rows]


def certified(
    network: Network,
    x: Tensor,
    labels: Tensor,
    threats: Sequence[tuple[float, Sequence[float]]] = (),
    **options: Any,
) -> dict[str, Check]:
    mean, std = network._mean.flatten().tolist(), network._std.flatten().tolist()
    checks = solve(check_evaluation(x, labels, threats, mean=mean, std=std, **options), network)
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def failures(checks: dict[str, Check]) -> list[str]:
    return [name for name, check in checks.items() if check.status == "failed"]


@pytest.mark.parametrize("fault", GRAY_FAULTS)
def test_what_is_broken_is_found(fault: str) -> None:
    broken, finder = ZOO[fault]
    torch.manual_seed(0)
    threats = LINF if finder.endswith("-linf") else ()
    checks = certified(
        broken(embedded("digits-lenet5")), *some_digits(0, 224), threats, attacked=24
    )
    assert finder in failures(checks), checks[finder].evidence


@pytest.mark.parametrize("fault", [fault for fault in ZOO if fault not in GRAY_FAULTS])
def test_what_is_broken_in_colour_is_found(fault: str) -> None:
    broken, finder = ZOO[fault]
    data()
    x, labels = cifar(320 if finder == "normalization" else 16)
    checks = certified(broken(embedded("cifar10-plain")), x, labels, attacked=8)
    assert finder in failures(checks), checks[finder].evidence


@pytest.mark.parametrize("first", range(0, 320, 64))
def test_nothing_is_wrong_with_a_sound_network(first: int) -> None:
    network = embedded("digits-lenet5").network()
    assert not failures(certified(network, *some_digits(first, 32), seed=first))
    if first == 0:
        checks = certified(network, *some_digits(first, 12), [*LINF, (2.0, (2.0,)), (1.0, (24.0,))])
        assert not failures(checks)
        assert {check.status for check in checks.values()} == {"passed"}


@pytest.mark.parametrize("name", ["cifar10-plain", "cifar10-robust", "cifar_resnet20"])
def test_nothing_is_wrong_with_sound_networks_of_colour_images(name: str) -> None:
    sound = cifar_resnet(20, data()) if name == "cifar_resnet20" else embedded(name)
    assert not failures(certified(sound.network(), *cifar(64), attacked=32))
    assert not failures(certified(sound.network(), *cifar(16), LINF, attacked=8))


def test_an_attack_that_has_no_gradient_is_shown_up_by_one_that_needs_none_and_by_huge_radii() -> (
    None
):
    broken, _ = ZOO["gradient cut off"]
    data()
    found = failures(certified(broken(embedded("cifar10-plain")), *cifar(16), LINF))
    assert {"zero-gradients", "black-box-linf", "huge-epsilon-linf"} <= set(found)


@pytest.mark.parametrize("fault", ["", "random noise on the input"])
def test_the_same_seed_gives_the_same_checks(fault: str) -> None:
    sound = embedded("digits-lenet5")
    found = []
    for _ in range(2):
        torch.manual_seed(1)  # of the network's own noise
        network = ZOO[fault][0](sound) if fault else sound.network()
        found.append(certified(network, *some_digits(0, 12), [(2.0, (2.0,))], seed=3))
    assert found[0] == found[1]


def test_images_leave_the_box_for_other_normalizations_alone_and_cost_what_they_may() -> None:
    network, (x, labels) = embedded("digits-lenet5").network(), some_digits(0, 16)
    counting = Counting(network)
    solve(check_evaluation(x, labels, LINF, mean=[0.5], std=[0.5]), counting)
    outside = [
        probe for probe in counting.probes if probe.images.min() < 0 or probe.images.max() > 1
    ]
    assert 0 < len(outside) <= len(GRAY)
    assert not any(probe.gradient for probe in outside)
    assert sum(counting.gradients) <= 130 * len(x)
    assert all(probe.splittable for probe in counting.probes)


def test_with_nothing_to_attack_the_attacks_are_skipped() -> None:
    x, labels = some_digits(0, 16)
    network = embedded("digits-lenet5").network()
    wrong = (network.logits(x).argmax(1) + 1) % 10
    checks = certified(network, x, wrong, LINF)
    assert failures(checks) == ["clean-accuracy"]
    sound = certified(network, x, labels, LINF)
    assert list(sound) == list(checks)
    skipped = {name for name, check in checks.items() if check.status == "skipped"}
    assert skipped == {
        "zero-gradients",
        "gradients-predict-loss",
        "one-level-steps",
        *(name for name in sound if name.endswith("-linf")),
    }
    assert not any(
        name.endswith("-linf") for name in certified(network, x, labels, [(math.inf, (0.0,))])
    )


def test_guesses_are_no_classification() -> None:
    x, labels = some_digits(0, 128)
    network = embedded("digits-lenet5").network()
    assert certified(network, x, labels)["clean-accuracy"].status == "passed"
    guessed = labels[torch.randperm(128, generator=torch.Generator().manual_seed(0))]
    assert certified(network, x, guessed)["clean-accuracy"].status == "failed"


@pytest.mark.parametrize(
    ("classes", "needed", "status"),
    [(2, 4, "failed"), (3, 4, "failed"), (4, 4, "passed"), (2, 2, "passed")],
)
def test_classes_are_counted(classes: int, needed: int, status: str) -> None:
    assert enough_classes(torch.zeros(3, classes), needed).status == status


# The statistics.


@pytest.mark.parametrize(
    ("trials", "share"), [(1, 0.02), (12, 0.02), (64, 0.02), (64, 0.05), (200, 0.1)]
)
def test_the_tail_is_that_of_counting_and_keeps_its_level(trials: int, share: float) -> None:
    chance = [
        math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(trials + 1)
    ]
    tails = [excess(k, trials, share) for k in range(trials + 1)]
    np.testing.assert_allclose(
        tails, [sum(chance[k:]) for k in range(trials + 1)], rtol=1e-9, atol=1e-15
    )
    statuses = [gap("name", "finder", k, trials, "source", share).status for k in range(trials + 1)]
    assert sum(c for c, status in zip(chance, statuses, strict=True) if status == "failed") <= LEVEL
    assert statuses == sorted(statuses, reverse=True)  # from passed to failed, and not back
    assert ("failed" in statuses) == (share**trials <= LEVEL)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 0), (10, 0), (10, 3), (2, 9)])
def test_a_split_is_judged_by_all_splits_as_uneven(first: int, second: int) -> None:
    total = first + second
    as_uneven = sum(sum(bits) >= first for bits in np.ndindex(*(2,) * total)) if total else 1
    assert dominates(first, second) == pytest.approx(as_uneven / 2**total)


# The checks of gradients.


def test_the_gradient_of_a_linear_network_predicts_exactly_but_at_the_wall() -> None:
    x, generator = images(20, 4), torch.Generator().manual_seed(0)
    x[:10, :, :2] = torch.where(x[:10, :, :2] < 0.5, 0.0, 1.0).to(x)  # no room on one side
    network = linear(
        torch.randn(5, 48, generator=generator, dtype=torch.float64),
        torch.zeros(5, dtype=torch.float64),
        (3, 4, 4),
    )
    labels = network.logits(x).argmax(1)
    assert [
        check.status
        for check in solve(check_gradients(x, labels, generators(0, 0, len(x))), network)
    ] == [
        "passed",
        "passed",
        "passed",
    ]


@pytest.mark.parametrize(
    ("factor", "status"),
    [(1.0, "passed"), (1.9, "passed"), (2.1, "failed"), (0.45, "failed"), (0.55, "passed")],
)
def test_a_gradient_may_be_off_by_a_factor_of_two(factor: float, status: str) -> None:
    x, _ = some_digits(0, 16)

    class Stretched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1024, 10)
            self.layer.weight.data = torch.randn(
                10, 1024, generator=torch.Generator().manual_seed(0)
            )

        def forward(self, x: Tensor) -> Tensor:
            flat = x.flatten(1)
            return self.layer(factor * flat - (factor - 1) * flat.detach())  # type: ignore[no-any-return]

    network = Network(Stretched(), (1, 32, 32), [0.0], [1.0])
    rows = generators(0, 0, len(x))
    _, slope, _ = solve(check_gradients(x, network.logits(x).argmax(1), rows), network)
    assert slope.status == status, slope.evidence


# The check of normalization.


@pytest.mark.parametrize("name", COLOUR)
def test_other_normalizations_are_imitated(name: str) -> None:
    data()
    x, labels = cifar(8)
    mean, std = (torch.tensor(list(values)).view(1, 3, 1, 1) for values in COLOUR[name])
    network = embedded("cifar10-plain").network()
    counting, own = Counting(network), network.logits(x)
    solve(
        normalization(
            x, labels, own, *(values.flatten().tolist() for values in (network._mean, network._std))
        ),
        counting,
    )
    expected = network.module((x - mean) / std)
    answers = [network.logits(probe.images) for probe in counting.probes]
    assert any(
        torch.allclose(answer, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
        for answer in answers
    )


def test_networks_of_other_channels_have_no_common_normalization() -> None:
    x = images(6, 4, channels=2)
    network = linear(
        torch.randn(5, 32, dtype=torch.float64), torch.zeros(5, dtype=torch.float64), (2, 4, 4)
    )
    check = solve(
        normalization(x, torch.zeros(6, dtype=torch.long), network.logits(x), [0, 0], [1, 1]),
        network,
    )
    assert check.status == "skipped"


def test_slightly_other_statistics_are_no_fault() -> None:
    sound = embedded("cifar10-plain")
    x, labels = (data(), cifar(96))[1]
    assert "normalization" not in failures(
        certified(Network(sound.build(), sound.shape, *IMAGENET), x, labels)
    )
