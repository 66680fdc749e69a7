"""Likeness to a given image, against sums written out, and pictures that come to be like it."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from interp.ascent import Ascent, ascend
from interp.feature.likeness import Likeness, caricature, gram_matrix, inversion, likeness, style
from interp.feature.params.fourier import Fourier
from interp.objective_batch import join
from interp.probe import Probe, solve
from interp.seeds import generators
from interp.step import adam
from tests.interp.toys_networks import Counting, images, linear, tricky

KINDS = pytest.mark.parametrize("kind", [inversion, partial(caricature, power=2.0), style])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram_by_hand(h: Tensor) -> list[list[float]]:
    """The Gram matrix of h (K, h, w), entry by entry."""
    units, positions = h.shape[0], h.shape[1] * h.shape[2]
    flat = h.reshape(units, positions).tolist()
    return [
        [sum(flat[i][p] * flat[j][p] for p in range(positions)) / positions for j in range(units)]
        for i in range(units)
    ]


def test_gram_matrices_are_those_written_out() -> None:
    h = drawn(2, 3, 2, 4)
    expected = torch.tensor([gram_by_hand(row) for row in h], dtype=torch.float64)
    torch.testing.assert_close(gram_matrix(h), expected, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(
        gram_matrix(h[:, :, 0, 0]),
        torch.einsum("bi,bj->bij", h[:, :, 0, 0], h[:, :, 0, 0]),
        rtol=1e-12,
        atol=0,
    )


def test_likeness_is_that_of_the_definitions() -> None:
    h, t = drawn(2, 3, 2, 4), drawn(2, 3, 2, 4, seed=1)
    for row in range(2):
        a, b = h[row].flatten().tolist(), t[row].flatten().tolist()
        lengths = math.hypot(*a), math.hypot(*b)
        product = sum(x * y for x, y in zip(a, b, strict=True))
        powered = product / lengths[1] * max(0.1, product / lengths[0] / lengths[1]) ** 3
        here, there = gram_by_hand(h[row]), gram_by_hand(t[row])
        apart = sum((here[i][j] - there[i][j]) ** 2 for i in range(3) for j in range(3))
        for objective, expected in [
            (inversion("a", t), -(math.dist(a, b) ** 2) / lengths[1] ** 2),
            (caricature("a", t, 3.0), powered),
            (caricature("a", t, 0.0), product / lengths[1]),
            (style("a", t), -apart / sum(there[i][j] ** 2 for i in range(3) for j in range(3))),
        ]:
            assert objective({"a": h})[row].item() == pytest.approx(expected, rel=1e-10)


def test_the_image_itself_is_most_like_itself_and_a_caricature_goes_further() -> None:
    t = drawn(2, 3, 4, 4)
    assert inversion("a", t)({"a": t}).tolist() == [0, 0]
    assert style("a", t)({"a": t}).tolist() == [0, 0]
    doubled = caricature("a", t)({"a": 2 * t})
    torch.testing.assert_close(doubled, 2 * caricature("a", t)({"a": t}), rtol=1e-12, atol=0)
    torch.testing.assert_close(doubled, 2 * t.flatten(1).norm(dim=1), rtol=1e-12, atol=0)


def test_style_does_not_mind_where_things_are_nor_how_large_the_image_was() -> None:
    t = drawn(1, 3, 4, 4)
    shuffled = t.flatten(2)[
        :, :, torch.randperm(16, generator=torch.Generator().manual_seed(0))
    ].view_as(t)
    twice = torch.cat([t, t], 2)
    assert style("a", t)({"a": shuffled}).item() == pytest.approx(0, abs=1e-20)
    assert style("a", twice)({"a": t}).item() == pytest.approx(0, abs=1e-20)
    assert inversion("a", t)({"a": shuffled}).item() < -0.1


@KINDS
def test_gradients_are_those_of_finite_differences(kind: Likeness) -> None:
    h = drawn(2, 3, 2, 2).requires_grad_()
    objective = kind("a", drawn(2, 3, 2, 2, seed=1) + h.detach())
    assert torch.autograd.gradcheck(lambda a: objective({"a": a}), h)


@KINDS
def test_targets_are_asked_of_the_network_and_climbing_comes_nearer(kind: Likeness) -> None:
    network, photos = Counting(tricky(size=12)), images(2, 12, seed=4)
    objective = solve(likeness(kind, "down", photos), network)
    assert [p.differentiates for p in network.probes] == [False]
    space = Fourier((3, 12, 12), photos)
    start = space.image(space.start(generators(0, 0, 2)))
    summit = solve(ascend(Ascent(space, objective, adam(0.1), 80), generators(0, 0, 2)), network)
    before, after, own = (
        a.score
        for a in network.answer(
            [Probe(x, objective, gradient=False) for x in (start, summit.images, photos)]
        )
    )
    assert before is not None
    assert after is not None
    assert own is not None
    if kind in (inversion, style):
        torch.testing.assert_close(own, torch.zeros_like(own), rtol=0, atol=1e-20)
        assert (after > 0.1 * before).all()  # nine tenths of the way
    else:
        assert (after > own).all()  # exaggerated


def test_inverting_a_linear_network_finds_the_activations() -> None:
    network = linear(drawn(5, 48), torch.zeros(5), (3, 4, 4))
    photo = 0.3 + 0.4 * images(1, 4)
    objective = solve(likeness(inversion, "1", photo), network)
    summit = solve(
        ascend(Ascent(Fourier((3, 4, 4), photo), objective, adam(0.05), 300), generators(0, 0, 1)),
        network,
    )
    found, wanted = network.logits(summit.images), network.logits(photo)
    assert (found - wanted).norm() < 0.01 * wanted.norm()


def test_an_image_that_the_layer_does_not_see_is_refused() -> None:
    for kind in (inversion, caricature, style):
        for value in (0.0, math.nan):
            with pytest.raises(ValueError, match="not 0 everywhere"):
                kind("a", torch.full((1, 2, 3, 3), value))


def test_separate_requests_of_a_kind_are_kin() -> None:
    h = drawn(3, 2, 2, 2)
    first, second = caricature("a", h[:1]), caricature("a", h[1:], 4.0)
    assert first.is_batchable_with(second)
    torch.testing.assert_close(
        join([first, second])({"a": h}), torch.cat([first({"a": h[:1]}), second({"a": h[1:]})])
    )
    assert not first.is_batchable_with(inversion("a", h[:1]))
