"""Diversity of pictures, against cosines computed by hand."""

import pytest
import torch
from torch import Tensor

from interp.ascent import Ascent, ascend
from interp.feature.diversity import diversity, scaled_diversity
from interp.feature.likeness import style
from interp.feature.params.fourier import Fourier
from interp.layer import LayerPath
from interp.objective import activation
from interp.probe import Probe, solve
from interp.seeds import generators
from interp.step import adam
from tests.interp.toys_networks import images, tricky


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


def test_scaled_diversity_counts_in_units_of_the_objective() -> None:
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
