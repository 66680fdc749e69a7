"""Likeness to a given image, against sums written out, and pictures that come to be like it."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from interp.ascent import Ascent, ascend
from interp.feature.diversity import diversity, scaled_diversity
from interp.feature.likeness import Likeness, caricature, gram_matrix, inversion, likeness, style
from interp.feature.params.fourier import Fourier
from interp.layer import LayerPath
from interp.objective import activation
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
    assert first.kin(second)
    torch.testing.assert_close(
        join([first, second])({"a": h}), torch.cat([first({"a": h[:1]}), second({"a": h[1:]})])
    )
    assert not first.kin(inversion("a", h[:1]))


def test_diversity_is_the_mean_cosine_within_each_group() -> None:
    h, groups = drawn(5, 3, 2, 2), [0, 4, 0, 0, 4]
    flat = [torch.tensor(gram_by_hand(row)).flatten() for row in h]
    cosines = [[float(a @ b / a.norm() / b.norm()) for b in flat] for a in flat]
    expected = []
    for row, group in enumerate(groups):
        others = [cosines[row][j] for j in range(5) if j != row and groups[j] == group]
        expected.append(-0.5 * sum(others) / len(others))
    found = diversity("a", torch.tensor(groups), 0.5)({"a": h})
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=0
    )
    assert diversity("a", torch.tensor([0, 1]))({"a": h[:2]}).tolist() == [0, 0]


def test_diversity_beside_an_objective_counts_in_its_units() -> None:
    h, groups = drawn(4, 3, 2, 2).requires_grad_(), torch.tensor([0, 0, 1, 1])
    objective = activation([LayerPath("a", unit) for unit in (0, 1, 2, 0)])
    found = scaled_diversity(objective, "a", groups, 2.0)({"a": h})
    torch.testing.assert_close(
        found, objective({"a": h}).abs() * diversity("a", groups, 2.0)({"a": h}), rtol=1e-12, atol=0
    )
    (of_first,) = torch.autograd.grad(found[0], h)
    assert of_first[0].any()
    assert not of_first[1:].any()  # the others are as they are
    shut = h.detach().clone()
    shut[0, 0] = 0  # the objective of row 0 is 0, though the layer is not
    shut.requires_grad_()
    (grad,) = torch.autograd.grad(scaled_diversity(objective, "a", groups)({"a": shut}).sum(), shut)
    assert not grad[0].any()
    assert grad[1].any()


def test_diverse_pictures_differ_more() -> None:
    network, groups = tricky(size=12), torch.tensor([0, 0])
    wanted = activation([LayerPath("down", 3)] * 2)
    likes = []
    for weight in (0.0, 3.0):
        objective = wanted + scaled_diversity(wanted, "down", groups, weight)
        summit = solve(
            ascend(
                Ascent(Fourier((3, 12, 12), images(1)), objective, adam(0.1), 60),
                generators(0, 0, 2),
            ),
            network,
        )
        (answer,) = network.answer(
            [Probe(summit.images, diversity("down", groups), gradient=False, splittable=False)]
        )
        assert answer.score is not None
        likes.append(-answer.score.mean().item())
    assert likes[0] > 0.9
    assert likes[1] < likes[0] - 0.1


@pytest.mark.parametrize("factor", [1e-12, 1e-7, 1e12])
def test_how_large_activations_are_does_not_matter(factor: float) -> None:
    h, t, groups = drawn(3, 4, 2, 3), drawn(3, 4, 2, 3, seed=1), torch.tensor([0, 0, 0])
    small = (h * factor).float().requires_grad_()
    for found, expected in [
        (style("a", (t * factor).float()), style("a", t)),
        (diversity("a", groups), diversity("a", groups)),
    ]:
        score = found({"a": small})
        torch.testing.assert_close(
            score.detach().double(), expected({"a": h}), rtol=1e-5, atol=1e-6
        )
        (grad,) = torch.autograd.grad(score.sum(), small)
        wide = h.clone().requires_grad_()
        (exact,) = torch.autograd.grad(expected({"a": wide}).sum(), wide)
        torch.testing.assert_close(grad.double() * factor, exact, rtol=1e-4, atol=1e-6)
    beside = scaled_diversity(activation([LayerPath("a", 0)] * 3), "a", groups)({"a": small})
    wide_beside = scaled_diversity(activation([LayerPath("a", 0)] * 3), "a", groups)({"a": h})
    torch.testing.assert_close(beside.detach().double() / factor, wide_beside, rtol=1e-5, atol=1e-6)
