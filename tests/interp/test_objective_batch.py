"""Objectives of different kinds as one, and rows that hang on each other."""

import pytest
import torch
from torch import Tensor

from interp.ascent import Ascent, ascend
from interp.attack.losses import cross_entropy, margin
from interp.feature.diversity import diversity
from interp.feature.params.fourier import Fourier
from interp.layer import LayerPath
from interp.objective import Objective, activation
from interp.objective_batch import join, stack
from interp.probe import Probe, solve
from interp.seeds import generators
from interp.step import adam
from tests.interp.toys_networks import Counting, images, tricky

SIZES = {"conv": (3, 2, 4), "logits": (4,)}


def drawn(rows: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(rows, *size, generator=generator, dtype=torch.float64)
        for name, size in SIZES.items()
    }


def kinds() -> list[Objective]:
    """Six rows of four objectives, of which the first and the last are batchable."""
    conv = activation([LayerPath("conv", 1), LayerPath("conv", 2)])
    pair = diversity("conv", torch.tensor([7, 7])) + cross_entropy(torch.tensor([0, 3]))
    return [conv, -2 * margin(torch.tensor([1])), pair, activation([LayerPath("conv", 0)])]


def pieces(objectives: list[Objective]) -> list[slice]:
    ends = torch.tensor([len(o.rows[0]) for o in objectives]).cumsum(0).tolist()
    return [slice(low, high) for low, high in zip([0, *ends[:-1]], ends, strict=True)]


def test_a_stack_scores_every_row_by_its_own_objective() -> None:
    objectives, seen = kinds(), drawn(6)
    expected = [
        o({name: a[rows] for name, a in seen.items()})
        for o, rows in zip(objectives, pieces(objectives), strict=True)
    ]
    found = stack(objectives)
    torch.testing.assert_close(found(seen), torch.cat(expected), rtol=1e-12, atol=0)
    assert set(found.layers) == {"conv", "logits"}
    index = torch.tensor([5, 3, 4, 0])  # both rows of the pair, and some of the others
    torch.testing.assert_close(
        found.take(index)({n: a[index] for n, a in seen.items()}),
        torch.cat(expected)[index],
        rtol=1e-12,
        atol=0,
    )


def test_only_rows_of_one_group_are_coupled() -> None:
    found = stack(kinds())
    assert found.coupled
    assert found.groups is not None
    same = found.groups[:, None] == found.groups[None]
    expected = torch.eye(6, dtype=torch.bool)
    expected[3, 4] = expected[4, 3] = True
    assert torch.equal(same, expected)
    assert not stack([kinds()[0], kinds()[3]]).coupled


def test_coupling_survives_composition() -> None:
    pair, free = diversity("conv", torch.tensor([0, 0, 1])), activation([LayerPath("conv", 0)] * 3)
    for composed in (
        pair + free,
        free - pair,
        3 * pair,
        -pair,
        pair.take(slice(0, 2)),
        join([pair]),
    ):
        assert composed.coupled
    assert not (free + free).coupled
    crossed = pair + diversity(
        "conv", torch.tensor([0, 1, 1])
    )  # rows 0 and 1 hang together, and 1 and 2
    assert crossed.groups is not None
    assert len(set(crossed.groups.tolist())) == 1


def test_kin_are_scored_in_one_call_and_groups_of_two_requests_stay_apart() -> None:
    free = [activation([LayerPath("conv", unit)]) for unit in range(3)]
    assert stack(free).score is free[0].score
    pair, seen = diversity("conv", torch.tensor([0, 0])), drawn(4)
    assert not pair.is_batchable_with(pair)
    apart = torch.cat([pair({"conv": seen["conv"][:2]}), pair({"conv": seen["conv"][2:]})])
    torch.testing.assert_close(join([pair, pair])(seen), apart, rtol=1e-12, atol=0)


def test_composed_objectives_of_one_kind_are_kin_whatever_their_weights() -> None:
    goals = [
        2 * activation([LayerPath("conv", 0)]) - w * margin(torch.tensor([label]))
        for w, label in ((1, 0), (0.5, 3))
    ]
    seen = drawn(2)
    assert goals[0].is_batchable_with(goals[1])
    assert not goals[0].is_batchable_with(-goals[1])
    expected = torch.cat(
        [goal({n: a[row : row + 1] for n, a in seen.items()}) for row, goal in enumerate(goals)]
    )
    assert stack(goals).score == goals[0].score
    torch.testing.assert_close(stack(goals)(seen), expected, rtol=1e-12, atol=0)


def test_an_objective_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="number of its rows"):
        stack([Objective(("conv",), lambda a: a["conv"].flatten(1).sum(1)), kinds()[0]])


def test_a_stack_is_answered_like_its_parts() -> None:
    network, x = tricky(), images(4)
    parts = [
        activation([LayerPath("down", 1)]),
        2 * activation([LayerPath("stem", 2)]),
        -margin(torch.tensor([1, 2])),
    ]
    (whole,) = network.answer([Probe(x, stack(parts))])
    found = network.answer(
        [Probe(x[rows], part) for part, rows in zip(parts, pieces(parts), strict=True)]
    )
    for field in ("score", "grad"):
        torch.testing.assert_close(
            getattr(whole, field), torch.cat([getattr(a, field) for a in found]), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("coupled", [True, False])
def test_probes_of_a_coupled_objective_are_never_split(coupled: bool) -> None:
    network = Counting(tricky())
    objective = activation([LayerPath("down", 1)] * 2)
    if coupled:
        objective += diversity("stem", torch.tensor([0, 0]))
    solve(
        ascend(
            Ascent(
                Fourier((3, 8, 8), torch.zeros((), dtype=torch.float64)), objective, adam(0.1), 3
            ),
            generators(0, 0, 2),
        ),
        network,
    )
    assert [p.splittable for p in network.probes] == [not coupled] * 3
