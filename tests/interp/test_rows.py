"""Probes cut and joined, and passes of one shape: the same values as the network's own, and the
same bytes in any company.
"""

import math
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from interp.attack.base import attack
from interp.attack.losses import cross_entropy, margin
from interp.attack.pgd import pgd
from interp.layer import LayerPath
from interp.network.architectures import CifarResNet, LeNet5
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Answer, Probe, solve
from interp.rows import Chunks, cut, join
from tests.interp.toys_networks import Counting, images, passing, tricky


def values(answer: Answer) -> dict[str, Tensor]:
    named = {
        "score": answer.score,
        "grad": answer.grad,
        "logits": answer.logits,
        **answer.activations,
    }
    return {name: value for name, value in named.items() if value is not None}


def same(one: Answer, other: Answer) -> None:
    assert values(one).keys() == values(other).keys()
    for name, value in values(one).items():
        torch.testing.assert_close(value, values(other)[name], rtol=0, atol=1e-12)


def probes(rows: int, seed: int = 0) -> list[Probe]:
    """One probe of every kind, each of so many rows."""
    x, labels = images(rows, seed=seed), torch.arange(rows) % 5
    mixed = activation(
        [
            LayerPath("stem.0", row) if row % 2 else LayerPath("down", row, (1, 2))
            for row in range(rows)
        ]
    )
    return [
        Probe(x, cross_entropy(labels), logits=True),
        Probe(x, margin(labels), layers=("act",)),
        Probe(x, mixed - 0.5 * cross_entropy(labels)),
        Probe(x, mixed, redirect=True),
        Probe(x, mixed, gradient=False),
        Probe(x, logits=True, layers=("norm", "twice")),
    ]


@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(1, 6)), st.integers(0, 5))
def test_the_answers_to_a_probe_in_parts_are_its_answer(cuts: set[int], kind: int) -> None:
    network, probe = tricky(), probes(7)[kind]
    edges = [0, *sorted(cuts), 7]
    parts = [cut(probe, low, high) for low, high in pairwise(edges)]
    assert [len(p.images) for p in parts] == [high - low for low, high in pairwise(edges)]
    for part in parts:
        assert (part.gradient, part.logits, part.layers, part.redirect) == (
            probe.gradient,
            probe.logits,
            probe.layers,
            probe.redirect,
        )
    same(join(network.answer(parts)), network.answer([probe])[0])


def test_all_of_a_probe_is_the_probe_itself() -> None:
    probe = probes(3)[0]
    assert cut(probe, 0, 3) is probe
    assert cut(probe, 0, 99) is probe
    answer = Answer(torch.zeros(3))
    assert join([answer]) is answer


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_chunks_answer_like_the_network_in_passes_of_one_shape(rows: int) -> None:
    network, sizes = tricky(), list[int]()
    asked = [probe for count in (1, 3, 5, 8) for probe in probes(count, seed=count)]
    expected = network.answer(asked)
    handle = passing(network, sizes)
    answers = Chunks(network, rows).answer(asked)
    handle.remove()
    assert set(sizes) == {rows}
    for answer, reference in zip(answers, expected, strict=True):
        same(answer, reference)


def test_a_probe_that_may_not_be_split_stays_whole() -> None:
    network, sizes = tricky(), list[int]()
    whole = Probe(images(5), cross_entropy(torch.arange(5)), splittable=False)
    handle = passing(network, sizes)
    (answer,) = Chunks(network, 2).answer([whole])
    handle.remove()
    assert sizes == [5]
    same(answer, network.answer([whole])[0])
    assert not cut(whole, 0, 2).splittable


# Bytes


class OddHead(nn.Module):
    """A head of 257 features: where a row of it starts, relative to 16 bytes, depends on its place
    in the batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(inplace=True)
        self.fc1, self.fc2 = nn.Linear(16 * 64, 257), nn.Linear(257, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.relu(self.fc1(self.relu(self.conv(x)).flatten(1))))  # type: ignore[no-any-return]


def hosted(module: type[nn.Module] | CifarResNet, shape: tuple[int, int, int]) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = module if isinstance(module, nn.Module) else module()
    return Network(built, shape, [0.5] * shape[0], [0.25] * shape[0])


def layouts(x: Tensor) -> Sequence[Tensor]:
    """The same images, stored in every way that procedures produce."""
    return (
        x,
        x.contiguous(memory_format=torch.channels_last),
        x.transpose(2, 3).contiguous().transpose(2, 3),
        x[:1].expand_as(x) * 0 + x,
    )


@pytest.mark.parametrize(
    ("module", "shape"),
    [(OddHead, (3, 8, 8)), (LeNet5, (1, 32, 32)), (CifarResNet(8), (3, 16, 16))],
    ids=["odd", "lenet", "resnet"],
)
def test_company_does_not_change_a_bit(
    module: type[nn.Module] | CifarResNet, shape: tuple[int, int, int]
) -> None:
    network = hosted(module, shape)
    chunks, rng = Chunks(network, 4), random.Random(0)
    x, labels = images(24, shape[1], torch.float32, channels=shape[0]), torch.arange(24) % 10
    groups = [
        list(range(low, high))
        for low, high in [(0, 1), (1, 2), (2, 8), (8, 11), (11, 15), (15, 24)]
    ]

    def asked(group: list[int]) -> Probe:
        return Probe(rng.choice(layouts(x[group])), cross_entropy(labels[group]), logits=True)

    alone = [chunks.answer([asked(group)])[0] for group in groups]
    for _ in range(30):
        order = rng.sample(range(len(groups)), rng.randint(1, len(groups)))
        for number, answer in zip(
            order, chunks.answer([asked(groups[n]) for n in order]), strict=True
        ):
            for name, value in values(alone[number]).items():
                assert torch.equal(values(answer)[name], value)


@pytest.mark.parametrize("p", [math.inf, 2.0])
def test_an_attack_in_chunks_asks_for_the_same_steps(p: float) -> None:
    network, x = tricky(), images(5)
    plainly, chunked = (Counting(oracle) for oracle in (network, Chunks(network, 4)))
    found = [
        solve(attack(x, None, pgd(steps=6), epsilon=0.2, p=p), oracle)
        for oracle in (plainly, chunked)
    ]
    torch.testing.assert_close(found[0].images, found[1].images, rtol=0, atol=1e-9)
    assert plainly.gradients == chunked.gradients
