"""The statistics of a layer: reductions, merging and distributions, against numpy over
everything.
"""

import itertools
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from interp.exemplars import (
    BINS,
    LEVELS,
    MOST_IDS,
    ORDERS,
    ActivationSummary,
    Distribution,
    LayerStatistics,
    RankedBy,
    TopK,
    percentile,
    sparsity,
    summarize_activations,
)
from interp.network.network import Network
from interp.probe import solve

UNITS, LABELS, K, LABEL_K = 3, 3, 4, 2


def maps(count: int, seed: int = 0, levels: int = 7) -> np.ndarray:
    """(N, UNITS, 3, 4) float32 of few values, so that there are ties; unit 0 is negative
    everywhere.
    """
    drawn = (
        np.random.default_rng(seed)
        .integers(-levels, levels + 1, (count, UNITS, 3, 4))
        .astype(np.float32)
        / 4
    )
    drawn[:, 0] = -np.abs(drawn[:, 0]) - 0.5
    return drawn


def brute_force(
    x: np.ndarray, ids: list[int], order: str, unit: int
) -> list[tuple[int, float, int]]:
    """(id, activation, position) of all images by an order, best first, one at a time."""
    rows = []
    for row, image in zip(x[:, unit].reshape(len(x), 12), ids, strict=True):
        mean = np.full(1, row.mean())
        values = mean if "mean" in order else row
        score = {
            "max": row,
            "min": -row,
            "magnitude": np.abs(row),
            "mean": mean,
            "lowest_mean": -mean,
            "mean_magnitude": np.abs(mean),
        }[order]
        at = int(score.argmax())
        rows.append((-float(score[at]), image, float(values[at]), at))
    return [(image, value, at) for _, image, value, at in sorted(rows)]


def found(shard: LayerStatistics, order: RankedBy, unit: int) -> list[tuple[int, float, int]]:
    """The same from a shard, with its signs undone."""
    best = shard.tops[order].best(unit)
    if order in ("min", "lowest_mean"):
        return [(image, -value, at) for image, value, at in best]
    if "magnitude" in order:
        return [
            (image, value, at) if at >= 0 else (image, -value, ~at) for image, value, at in best
        ]
    return best


def layouts(x: np.ndarray) -> list[Tensor]:
    plain = torch.from_numpy(x)
    return [
        plain,
        plain.to(memory_format=torch.channels_last),
        plain.transpose(2, 3).contiguous().transpose(2, 3),
    ]


@pytest.mark.parametrize("layout", range(3))
def test_peaks_equal_numpy(layout: int) -> None:
    x = maps(9)
    got, flat = ActivationSummary.of(layouts(x)[layout]), x.reshape(9, UNITS, 12)
    assert got.positions == 12
    np.testing.assert_array_equal(got.maximum, flat.max(2))
    np.testing.assert_array_equal(got.at_maximum, flat.argmax(2))
    np.testing.assert_array_equal(got.minimum, flat.min(2))
    np.testing.assert_array_equal(got.at_minimum, flat.argmin(2))
    np.testing.assert_array_equal(got.active, (flat > 0).sum(2))
    np.testing.assert_allclose(got.mean, flat.mean(2), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(got.spread, flat.astype(np.float64).var(2) * 12, rtol=1e-5)
    size, at = got.magnitude
    np.testing.assert_array_equal(size, np.abs(flat).max(2))
    np.testing.assert_array_equal(torch.where(at < 0, ~at, at), np.abs(flat).argmax(2))
    np.testing.assert_array_equal(
        at < 0, np.take_along_axis(flat, np.abs(flat).argmax(2)[..., None], 2)[..., 0] < 0
    )


def test_a_linear_layer_is_a_map_of_one_position() -> None:
    x = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    got = ActivationSummary.of(x)
    assert got.maximum.equal(x)
    assert got.minimum.equal(x)
    assert got.mean.equal(x)
    assert not got.at_maximum.any()
    assert got.active.tolist() == [[1, 0], [0, 1]]
    assert got.positions == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_reduced_in_single(dtype: torch.dtype) -> None:
    x = (torch.randn(2, 3, 70, 71, generator=torch.Generator().manual_seed(0)) * 300 + 500).to(
        dtype
    )
    got, flat = ActivationSummary.of(x), x.double().flatten(2)
    np.testing.assert_array_equal(
        got.active, (flat > 0).sum(2)
    )  # of which neither type can count so many
    np.testing.assert_allclose(got.mean, flat.mean(2), rtol=1e-6)
    np.testing.assert_allclose(
        got.spread, flat.var(2, correction=0) * 70 * 71, rtol=1e-5
    )  # nor hold the squares


@pytest.mark.parametrize("scale", [1e25, 1e38])
def test_sums_that_32_bits_cannot_hold(scale: float) -> None:
    x = (torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0)) + 1) * scale
    moments = LayerStatistics.of(ActivationSummary.of(x), torch.arange(3), 1).moments
    values = x.double().transpose(0, 1).flatten(1)
    np.testing.assert_allclose(moments.mean, values.mean(1), rtol=1e-6)
    np.testing.assert_allclose(moments.variance, values.var(1, correction=0), rtol=1e-6)


def shard(x: np.ndarray, ids: list[int], labels: list[int]) -> LayerStatistics:
    return LayerStatistics.of(
        ActivationSummary.of(torch.from_numpy(x)),
        torch.tensor(ids),
        K,
        torch.tensor(labels),
        LABELS,
        LABEL_K,
    )


@settings(max_examples=20, deadline=None)
@given(
    count=st.integers(1, 40),
    cuts=st.lists(st.integers(1, 39), max_size=5),
    seed=st.integers(0, 9),
    random=st.randoms(use_true_random=False),
)
def test_any_tree_of_merges_equals_brute_force(
    count: int, cuts: list[int], seed: int, random: Random
) -> None:
    x, ids = maps(count, seed), random.sample(range(1000), count)
    labels = [random.randrange(-1, LABELS) for _ in ids]
    bounds = sorted({0, count, *(cut for cut in cuts if cut < count)})
    parts = [shard(x[a:b], ids[a:b], labels[a:b]) for a, b in itertools.pairwise(bounds)]
    while len(parts) > 1:
        left, right = (parts.pop(random.randrange(len(parts))) for _ in range(2))
        parts.append(left.merge(right))
    (whole,) = parts
    assert whole.images == count
    for unit in range(UNITS):
        for order in ORDERS:
            wanted = brute_force(x, ids, order, unit)[:K]
            got = found(whole, order, unit)
            if "mean" in order:  # its last bit is the device's
                assert [g[1] for g in got] == pytest.approx([w[1] for w in wanted], abs=1e-6)
            else:
                assert got == wanted
        for label in range(LABELS):
            mine = [i for i, known in enumerate(labels) if known == label]
            wanted = brute_force(x[mine], [ids[i] for i in mine], "max", unit)[:LABEL_K]
            assert whole.labels is not None
            assert whole.labels.best(unit * LABELS + label) == wanted
    values = x.astype(np.float64).transpose(1, 0, 2, 3).reshape(UNITS, count * 12)
    np.testing.assert_allclose(whole.moments.mean, values.mean(1), rtol=0, atol=1e-6)
    np.testing.assert_allclose(whole.moments.variance, values.var(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(whole.moments.active_share, (values > 0).mean(1))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1.0, 1e4]))
def test_moments_merge_commutatively_to_the_bit_and_associatively_to_1e_12(
    seed: int, offset: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b, c = (
        LayerStatistics.of(
            ActivationSummary.of(torch.randn(n, 2, 3, 3, generator=generator) + offset),
            torch.arange(n) + 100 * n,
            1,
        ).moments
        for n in (3, 8, 5)
    )
    assert a.merge(b).mean.equal(b.merge(a).mean)
    assert a.merge(b).squares.equal(b.merge(a).squares)
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    assert left.active.equal(right.active)
    np.testing.assert_allclose(left.mean, right.mean, rtol=1e-12)
    np.testing.assert_allclose(left.squares, right.squares, rtol=1e-12)


def test_the_variance_survives_a_large_mean() -> None:
    x = torch.randn(50, 1, 4, 4, generator=torch.Generator().manual_seed(0)) + 1000
    assert LayerStatistics.of(
        ActivationSummary.of(x), torch.arange(50), 1
    ).moments.variance.item() == pytest.approx(x.double().var(correction=0).item(), rel=1e-4)


def test_shards_refuse_nan_and_other_layers() -> None:
    x = torch.zeros(2, UNITS, 3, 4)
    plain = LayerStatistics.of(ActivationSummary.of(x), torch.arange(2), K)
    for other in (
        LayerStatistics.of(ActivationSummary.of(x[:, :1]), torch.arange(2), K),
        LayerStatistics.of(ActivationSummary.of(x[..., :2]), torch.arange(2), K),
        shard(x.numpy(), [5, 6], [0, 1]),
    ):
        with pytest.raises(ValueError, match=r"merged|labels"):
            plain.merge(other)
    x[1, 0, 2, 3] = torch.nan
    with pytest.raises(ValueError, match="not a number"):
        LayerStatistics.of(ActivationSummary.of(x), torch.arange(2), K)


def test_negative_maxima_and_infinities_are_kept() -> None:
    x = torch.full((2, 1, 1, 2), -torch.inf)
    x[1] = -3.0
    best = LayerStatistics.of(ActivationSummary.of(x), torch.arange(2), 3).tops["max"]
    assert best.best(0) == [(1, -3.0, 0), (0, -torch.inf, 0)]
    assert best.ids[0].tolist() == [1, 0, MOST_IDS]


def test_the_procedure_reduces_one_forward_pass() -> None:
    module = nn.Sequential(nn.Conv2d(1, UNITS, 3), nn.Flatten(), nn.Linear(UNITS * 12, 2))
    network = Network(module, (1, 5, 6), mean=[0.0], std=[1.0])
    images = torch.rand(4, 1, 5, 6, generator=torch.Generator().manual_seed(0))
    got, wanted = (
        solve(summarize_activations(images, ["0", "logits"]), network),
        network.activations(images, ["0", "logits"]),
    )
    np.testing.assert_array_equal(got["0"].maximum, wanted["0"].amax((2, 3)))
    np.testing.assert_array_equal(got["logits"].mean, wanted["logits"])


@pytest.mark.parametrize("count", [1, 2, 40, LEVELS, 1000])
def test_distributions_are_exact(count: int) -> None:
    values = np.float32(0.25) * np.random.default_rng(count).integers(-9, 10, (2, count)).astype(
        np.float32
    )
    got, shares = Distribution.of(values), [0.0, 0.01, 0.5, 0.75, 1.0]
    places, kept = got.quantiles(shares)
    for unit, row in enumerate(values):
        ranked = sorted((float(value), place) for place, value in enumerate(row))
        for column, share in enumerate(shares):
            below = int(share * (count - 1) + 0.5)  # of the others
            assert (kept[unit, column], places[unit, column]) == ranked[below]
        histogram = got.histogram()[unit]
        assert (len(histogram), histogram.sum()) == (BINS, count)
        grid, steps = (
            got.grid()[unit],
            np.linspace(row.min(), row.max(), 8) if count > 1 else [row[0]],
        )
        assert len(grid) == LEVELS
        for value in [*row[:20], *steps, -99.0, 99.0]:
            share = float((row < np.float32(value)).mean())
            assert percentile(grid, count, float(value)) == pytest.approx(
                share, abs=1e-9 if count <= LEVELS else 1 / 256
            )


def test_a_histogram_is_numpys() -> None:
    values = np.random.default_rng(0).normal(size=(1, 500)).astype(np.float32)
    wanted = np.histogram(values.astype(np.float64), BINS)[0]
    np.testing.assert_array_equal(Distribution.of(values).histogram()[0], wanted)
    assert Distribution.of(np.zeros((1, 9), np.float32) - 2).histogram().sum() == 9


def test_sparsity_of_known_units() -> None:
    values = torch.zeros(5, 8)
    values[0] = 3.0  # equally active everywhere
    values[1, 2] = 1e-30  # active on one image, so little that its square vanishes
    values[2, :4] = 7.0  # on half of the images
    values[3] = -1.0
    values[4] = torch.tensor([-1.0, 1.0]).repeat(4)
    assert sparsity(values).tolist() == pytest.approx([0, 1 - 1 / 8, 0.5, 0, 0.5])


def test_a_topk_of_no_label_is_empty() -> None:
    x = maps(3)
    whole = shard(x, [0, 1, 2], [-1, -1, 2])
    assert isinstance(whole.labels, TopK)
    assert whole.labels.best(0) == []
    assert len(whole.labels.best(2)) == 1
