"""Randomness belongs to the row: the same whatever the company, and different for every (seed,
row).
"""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from interp.seeds import generators, normal, uniform

seeds = st.one_of(
    st.integers(0, 2**64), st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**32, 2**33, 2**63, 2**64 - 1])
)
rows = st.one_of(st.integers(0, 10**6), st.sampled_from([0, 1, 2, 2**32]))
like = torch.zeros((), dtype=torch.float64)


@settings(deadline=None)
@given(seeds, rows, st.integers(0, 5))
def test_a_row_draws_the_same_in_any_company(seed: int, first: int, offset: int) -> None:
    whole = generators(seed, first, 6)
    assert len(whole) == 6
    (alone,) = generators(seed, first + offset, 1)
    assert (alone.integers(0, 2**63, 8) == whole[offset].integers(0, 2**63, 8)).all()


@settings(deadline=None)
@given(st.tuples(seeds, rows), st.tuples(seeds, rows))
def test_no_two_rows_draw_the_same(one: tuple[int, int], other: tuple[int, int]) -> None:
    (a,), (b,) = generators(*one, 1), generators(*other, 1)
    assert (one == other) == bool((a.integers(0, 2**63, 8) == b.integers(0, 2**63, 8)).all())


def test_a_large_seed_is_not_another_row() -> None:
    (a,), (b,) = generators(0, 5, 1), generators(5 << 32, 0, 1)
    assert (a.integers(0, 2**63, 8) != b.integers(0, 2**63, 8)).any()


def test_normal_and_uniform_numbers_are_distributed_so() -> None:
    drawn = normal(generators(0, 0, 10), (40, 50), like)
    assert drawn.shape == (10, 40, 50)
    assert drawn.dtype == torch.float64
    assert stats.kstest(drawn.flatten(), stats.norm.cdf).pvalue > 0.01
    drawn = uniform(generators(1, 0, 10), (2000,), like.float())
    assert drawn.dtype == torch.float32
    assert drawn.min() >= -1
    assert drawn.max() <= 1
    assert stats.kstest(drawn.flatten(), stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_a_rows_numbers_do_not_depend_on_the_other_rows() -> None:
    for draw in (normal, uniform):
        whole = draw(generators(4, 10, 3), (2, 5), like)
        for row in range(3):
            assert torch.equal(draw(generators(4, 10 + row, 1), (2, 5), like)[0], whole[row])
