"""The top k, against a plain sort of everything."""

import itertools
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from interp.exemplars import MOST_IDS, TopK, crop_rectangle


def brute_force(values: np.ndarray, ids: list[int], unit: int, k: int) -> list[tuple[int, float]]:
    """(id, value) of a unit's k best images by sorting tuples; values (N, U)."""
    everything = [(-float(values[row, unit]), ids[row]) for row in range(len(ids))]
    return [(image, -value) for value, image in sorted(everything)[:k]]


def found(top: TopK, unit: int) -> list[tuple[int, float]]:
    return [(image, value) for image, value, _ in top.best(unit)]


@st.composite
def streams(draw: st.DrawFn) -> tuple[np.ndarray, list[int], int, list[int]]:
    """Values (N, U) with many ties and negatives, ids in any order, k, and where the stream is cut
    into batches.
    """
    count, units, k = draw(st.integers(1, 30)), draw(st.integers(1, 5)), draw(st.integers(1, 8))
    cells = draw(
        st.lists(
            st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0]),
            min_size=count * units,
            max_size=count * units,
        )
    )
    ids = draw(st.permutations(range(count)))
    cuts = draw(st.lists(st.integers(0, count), max_size=4))
    return np.array(cells, dtype=np.float32).reshape(count, units), list(ids), k, sorted(cuts)


def parts(
    values: np.ndarray, ids: list[int], cuts: list[int]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The batches of a stream; a position is a known function of id and unit, so that it can be
    checked.
    """
    positions = np.array(ids)[:, None] * 10 + np.arange(values.shape[1])
    spans = itertools.pairwise([0, *cuts, len(ids)])
    return [
        (
            torch.tensor(values[a:b]),
            torch.tensor(positions[a:b]),
            torch.tensor(ids[a:b], dtype=torch.int64),
        )
        for a, b in spans
    ]


@settings(max_examples=150, deadline=None)
@given(streams())
def test_any_batch_split_equals_a_sort(
    stream: tuple[np.ndarray, list[int], int, list[int]],
) -> None:
    values, ids, k, cuts = stream
    top = TopK(values.shape[1], k)
    for part in parts(values, ids, cuts):
        top.update(*part)
    for unit in range(values.shape[1]):
        assert found(top, unit) == brute_force(values, ids, unit, k)
        assert all(position == image * 10 + unit for image, _, position in top.best(unit))


@settings(max_examples=100, deadline=None)
@given(streams(), st.randoms(use_true_random=False))
def test_any_merge_order_equals_a_sort(
    stream: tuple[np.ndarray, list[int], int, list[int]], random: Random
) -> None:
    values, ids, k, cuts = stream
    tops = []
    for part in parts(values, ids, cuts):
        top = TopK(values.shape[1], k)
        top.update(*part)
        tops.append(top)
    while len(tops) > 1:  # a random tree of merges
        left, right = (tops.pop(random.randrange(len(tops))) for _ in range(2))
        tops.append(left.merge(right))
    for unit in range(values.shape[1]):
        assert found(tops[0], unit) == brute_force(values, ids, unit, k)


def test_merge_leaves_both_as_they_are() -> None:
    left, right = TopK(1, 2), TopK(1, 2)
    left.update(torch.tensor([[1.0]]), torch.tensor([[0]]), torch.tensor([4]))
    right.update(torch.tensor([[2.0]]), torch.tensor([[0]]), torch.tensor([3]))
    assert found(left.merge(right), 0) == [(3, 2.0), (4, 1.0)]
    assert (found(left, 0), found(right, 0)) == ([(4, 1.0)], [(3, 2.0)])


def test_minus_infinity_is_an_activation_like_any_other() -> None:
    top = TopK(1, 3)
    top.update(
        torch.tensor([[-torch.inf], [-5.0]]),
        torch.zeros(2, 1, dtype=torch.int64),
        torch.tensor([0, 1]),
    )
    assert found(top, 0) == [(1, -5.0), (0, -torch.inf)]


def test_values_of_every_size_keep_their_order_and_come_back_to_the_bit() -> None:
    tiny, huge = torch.finfo(torch.float32).smallest_normal, torch.finfo(torch.float32).max
    rising = torch.tensor(
        [-torch.inf, -huge, -1.5, -tiny, -tiny / 4, 0.0, tiny / 4, tiny, 1e-3, 1.5, huge, torch.inf]
    )
    order = torch.randperm(len(rising), generator=torch.Generator().manual_seed(0))
    top = TopK(1, len(rising))
    top.update(rising[order][:, None], order[:, None], order)
    assert top.values[0].equal(rising.flip(0))
    assert top.ids[0].tolist() == top.positions[0].tolist() == [*range(len(rising))][::-1]


def test_minus_zero_ties_with_zero() -> None:
    top = TopK(1, 2)
    top.update(
        torch.tensor([[-0.0], [0.0]]), torch.zeros(2, 1, dtype=torch.int64), torch.tensor([0, 1])
    )
    assert top.ids[0].tolist() == [0, 1]


def test_the_largest_id_is_no_free_place() -> None:
    top = TopK(1, 2)
    top.update(torch.tensor([[-torch.inf]]), torch.tensor([[3]]), torch.tensor([MOST_IDS - 1]))
    assert top.best(0) == [(MOST_IDS - 1, -torch.inf, 3)]


def test_nan_and_wrong_shapes_are_refused() -> None:
    top = TopK(2, 3)
    positions, ids = torch.zeros(1, 2, dtype=torch.int64), torch.tensor([0])
    with pytest.raises(ValueError, match="not a number"):
        top.update(torch.tensor([[1.0, torch.nan]]), positions, ids)
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        top.update(torch.zeros(1, 3), positions, ids)
    for image in (-1, MOST_IDS):
        with pytest.raises(ValueError, match="ids"):
            top.update(torch.zeros(1, 2), positions, torch.tensor([image]))
    with pytest.raises(ValueError, match="merged"):
        top.merge(TopK(2, 4))
    assert top.best(0) == []


def test_restore_goes_on_where_it_was_saved() -> None:
    values = torch.tensor([[3.0], [1.0], [2.0], [4.0]])
    positions, ids = torch.arange(4)[:, None], torch.arange(4)
    whole, first = TopK(1, 3), TopK(1, 3)
    whole.update(values, positions, ids)
    first.update(values[:2], positions[:2], ids[:2])
    second = TopK.restore(first.values, first.positions, first.ids)
    second.update(values[2:], positions[2:], ids[2:])
    assert second.best(0) == whole.best(0) == [(3, 4.0, 3), (0, 3.0, 0), (2, 2.0, 2)]


@given(
    position=st.integers(0, 6),
    offset=st.integers(-4, 2),
    jump=st.integers(1, 3),
    field=st.integers(1, 7),
    extent=st.integers(1, 12),
    begin=st.integers(0, 3),
)
def test_crop_is_the_field_inside_the_image(
    position: int, offset: int, jump: int, field: int, extent: int, begin: int
) -> None:
    extent += begin
    other = (0, 0, 1, 1, 1, 0)  # the other axis: one pixel
    arguments = zip((position, offset, jump, field, extent, begin), other, strict=True)
    top, left, height, width = crop_rectangle(*arguments)
    covered = sorted(
        set(range(offset + position * jump, offset + position * jump + field))
        & set(range(begin, extent))
    )
    assert (left, width) == (0, 1)
    if covered:
        assert (top, height) == (covered[0], len(covered))
    else:  # wholly in the padding
        assert height == 1
        assert begin <= top < extent
