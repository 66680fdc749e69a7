"""Intervals, McNemar's test and the gate against scipy, and against what they promise: counted out
exactly, and simulated.
"""

import functools
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from interp.audit.statistics import (
    Gate,
    GateDecision,
    GateVerdict,
    Interval,
    anytime,
    by_class,
    clopper_pearson,
    mcnemar,
    wilson,
)

Method = Callable[..., Interval]
RATES = np.concatenate([np.linspace(0.001, 0.999, 97), [0.0, 1.0]])


@pytest.mark.parametrize("method", ["exact", "wilson"])
@given(
    counts=st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    confidence=st.floats(0.5, 0.999),
)
def test_intervals_are_those_of_scipy(
    method: Literal["exact", "wilson"], counts: tuple[int, int], confidence: float
) -> None:
    low, high = (clopper_pearson if method == "exact" else wilson)(*counts, confidence)
    theirs = stats.binomtest(*counts).proportion_ci(confidence, method=method)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize("interval", [clopper_pearson, wilson, anytime])
def test_intervals_of_many_counts_are_those_of_each(interval: Method) -> None:
    k, n = np.array([[0, 3, 7], [1, 1, 20]]), np.array([[5, 3, 10], [1, 2, 400]])
    low, high = interval(k, n, 0.9)
    assert low.shape == high.shape == k.shape
    for place in np.ndindex(k.shape):
        assert (low[place], high[place]) == interval(int(k[place]), int(n[place]), 0.9)
        assert 0 <= low[place] <= k[place] / n[place] <= high[place] <= 1
    assert [*map(float, interval(0, 0, 0.9))] == [0, 1]  # nothing seen, nothing known
    low, high = interval(k[0], 10, 0.9)
    assert low[0] == 0
    assert (np.diff(low) > 0).all()
    assert (np.diff(high) > 0).all()


def test_clopper_pearson_in_closed_form() -> None:
    for n in (1, 2, 30):
        assert clopper_pearson(0, n, 0.95).high == pytest.approx(1 - 0.025 ** (1 / n))
        assert clopper_pearson(n, n, 0.95).low == pytest.approx(0.025 ** (1 / n))


def coverage(interval: Interval, n: int, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that the interval of n trials holds each rate: the sum over all counts, without
    chance.
    """
    k = np.arange(n + 1)
    inside = (interval.low <= rates[:, None] + 1e-12) & (rates[:, None] <= interval.high + 1e-12)
    return np.asarray((stats.binom.pmf(k, n, rates[:, None]) * inside).sum(1))


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_the_exact_interval_covers_at_least_as_often_as_it_says(confidence: float) -> None:
    for n in (1, 2, 5, 10, 37, 100, 500):
        assert (
            coverage(clopper_pearson(np.arange(n + 1), n, confidence), n, RATES).min()
            >= confidence - 1e-9
        )


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_the_score_interval_covers_about_as_often_as_it_says(confidence: float) -> None:
    for n in (20, 50, 100, 500):
        amid = np.abs(RATES - 0.5) <= 0.5 - 5 / n
        found = coverage(wilson(np.arange(n + 1), n, confidence), n, RATES[amid])
        assert found.mean() == pytest.approx(confidence, abs=0.015)
        assert found.min() > confidence - 0.08
    exact, score = (
        clopper_pearson(np.arange(101), 100, confidence),
        wilson(np.arange(101), 100, confidence),
    )
    assert (score.high - score.low).mean() < (exact.high - exact.low).mean()


@pytest.mark.parametrize("p", [0.03, 0.4, 0.917])
def test_intervals_cover_in_simulated_experiments(p: float) -> None:
    runs, n = 20_000, 200
    k = np.random.default_rng(0).binomial(n, p, runs)
    for interval, least, most in ((clopper_pearson, 0.95, 0.99), (wilson, 0.92, 0.98)):
        low, high = interval(k, n)
        covered = int(((low <= p) & (p <= high)).sum())
        assert clopper_pearson(covered, runs, 0.999).high >= least
        assert clopper_pearson(covered, runs, 0.999).low <= most


def test_classes_are_counted_apart() -> None:
    labels = np.array([0, 0, 3, 1, 3, 3, 0])
    correct = np.array([1, 0, 1, 0, 0, 1, 1], dtype=bool)
    right, all_of = by_class(correct, labels, 5)
    assert right.tolist() == [2, 0, 0, 2, 0]
    assert all_of.tolist() == [3, 1, 0, 3, 0]
    low, high = clopper_pearson(right, all_of)
    assert (low[4], high[4]) == (0, 1)
    assert by_class([], [], 3)[1].tolist() == [0, 0, 0]


def pair(
    both: int, only_first: int, only_second: int, neither: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    sizes = (both, only_first, only_second, neither)
    first, second = (
        np.repeat([1, 1, 0, 0], sizes).astype(bool),
        np.repeat([1, 0, 1, 0], sizes).astype(bool),
    )
    order = np.random.default_rng(0).permutation(len(first))
    return first[order], second[order]


@given(st.tuples(*[st.integers(0, 60)] * 4))
def test_mcnemar_is_the_sign_test_of_scipy(sizes: tuple[int, int, int, int]) -> None:
    _, b, c, _ = sizes
    found = mcnemar(*pair(*sizes))
    assert found[:2] == (b, c)
    assert found.p_value == pytest.approx(stats.binomtest(b, b + c).pvalue if b + c else 1.0)
    mid = mcnemar(*pair(*sizes), mid_p=True).p_value
    outcomes = np.arange(b + c + 1)
    chance, distance = stats.binom.pmf(outcomes, b + c, 0.5), np.abs(outcomes - (b + c) / 2)
    seen = distance[b]
    assert mid == pytest.approx(
        chance[distance > seen].sum() + chance[distance == seen].sum() / 2 if b + c else 1
    )
    assert mcnemar(*pair(sizes[0], c, b, sizes[3])).p_value == pytest.approx(found.p_value)


def test_mcnemar_rejects_equal_networks_no_more_often_than_its_level() -> None:
    for n in (6, 15, 40, 100):
        splits = [pair(0, k, n - k, 3) for k in range(n + 1)]
        chance = stats.binom.pmf(np.arange(n + 1), n, 0.5)
        for level in (0.01, 0.05, 0.2):
            exact, mid = (
                sum(
                    c
                    for c, s in zip(chance, splits, strict=True)
                    if mcnemar(*s, mid_p=m).p_value <= level
                )
                for m in (False, True)
            )
            assert exact <= level
            assert exact <= mid <= 1.3 * level + 0.005


# The gate: from its verdicts at every count, the exact probability of each, by passing on the paths
# that are still undecided.


@functools.cache
def answers(gate: Gate, horizon: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether the gate passes and fails what has k right of n, at [n, k]; what cannot be has no
    answer.
    """
    n, k = np.mgrid[: horizon + 1, : horizon + 1]
    passing, failing = gate.evidence(np.minimum(k, n), n)
    passes, fails = passing >= -math.log(gate.false_pass), failing >= -math.log(gate.false_fail)
    assert not (passes & fails).any()
    return passes & (k <= n), fails & (k <= n)


def verdicts(gate: Gate, p: float, horizon: int) -> tuple[float, float, float]:
    """Probabilities of passing and of failing within `horizon` images of a network of accuracy p,
    and the expected images.
    """
    alive, passed, failed, asked = np.ones(1), 0.0, 0.0, 0.0
    for n in range(1, horizon + 1):
        asked += alive.sum()
        alive = np.append(alive * (1 - p), 0) + np.append(
            0, alive * p
        )  # alive[k]: undecided, with k right
        passes, fails = (answer[n, : n + 1] for answer in answers(gate, horizon))
        passed, failed = passed + alive[passes].sum(), failed + alive[fails].sum()
        alive = np.where(passes | fails, 0, alive)
    return passed, failed, asked


@pytest.mark.parametrize("bar", [0.02, 0.4, 0.9])
@pytest.mark.parametrize(("false_pass", "false_fail"), [(0.05, 0.05), (0.01, 0.2)])
def test_a_gate_errs_no_more_often_than_it_says(
    bar: float, false_pass: float, false_fail: float
) -> None:
    gate = Gate(bar, false_pass, false_fail)
    for p in (bar - 1e-9, 0.9 * bar, 0.5 * bar):
        assert verdicts(gate, p, 700)[0] <= false_pass
    for p in (bar, 1 - 0.9 * (1 - bar), 1 - 0.5 * (1 - bar)):
        assert verdicts(gate, p, 700)[1] <= false_fail
    passed, failed, _ = verdicts(gate, bar, 700)
    assert passed > false_pass / 10  # it does not keep its promise by never answering
    assert failed > false_fail / 10 or bar == 0.02  # which so few images can hardly fall short of


def test_a_gate_errs_no_more_often_than_it_says_in_simulated_runs() -> None:
    """Asked after each of 700 images; on the bar itself, where it is hardest."""
    runs, bar, gate = 1000, 0.4, Gate(0.4, 0.05, 0.1)
    images = np.random.default_rng(0).random((runs, 700)) < bar
    found = [gate.decide(image) for image in images]
    for verdict, error in ((GateVerdict.PASS, 0.05), (GateVerdict.FAIL, 0.1)):
        wrong = sum(decision.verdict is verdict for decision in found)
        assert clopper_pearson(wrong, runs, 0.999).low <= error
    passed, failed, _ = verdicts(gate, bar, 700)
    assert sum(decision.verdict is GateVerdict.PASS for decision in found) / runs == pytest.approx(
        passed, abs=0.02
    )
    assert sum(decision.verdict is GateVerdict.FAIL for decision in found) / runs == pytest.approx(
        failed, abs=0.02
    )


def test_a_gate_answers_early_where_the_answer_is_clear() -> None:
    for p, expected in ((0.6, GateVerdict.PASS), (0.2, GateVerdict.FAIL)):
        passed, failed, asked = verdicts(Gate(0.4), p, 700)
        assert (passed if expected is GateVerdict.PASS else failed) > 0.99
        assert asked < 120


@given(st.lists(st.booleans(), max_size=300), st.integers(1, 50))
def test_a_verdict_does_not_depend_on_how_often_one_asks(correct: list[bool], every: int) -> None:
    gate = Gate(0.5, 0.1, 0.1)
    whole = gate.decide(correct)
    for upto in [*range(0, len(correct), every), len(correct)]:
        part = gate.decide(correct[:upto])
        assert part == (
            whole
            if whole.trials <= upto and whole.verdict is not GateVerdict.OPEN
            else GateDecision(GateVerdict.OPEN, upto)
        )


def test_evidence_is_a_mixture_of_likelihood_ratios() -> None:
    """Against the mean over a fine grid of accuracies."""
    bar, grid = 0.3, (np.arange(200_000) + 0.5) / 200_000
    for k, n in ((0, 4), (3, 5), (10, 40), (40, 41)):
        ratio = (grid / bar) ** k * ((1 - grid) / (1 - bar)) ** (n - k)
        above, below = Gate(bar).evidence(k, n)
        assert math.exp(above) == pytest.approx(ratio[grid > bar].mean(), rel=1e-3)
        assert math.exp(below) == pytest.approx(ratio[grid < bar].mean(), rel=1e-3)


def test_evidence_stays_finite_where_it_is_strong() -> None:
    passing, failing = Gate(0.5).evidence([10**6, 0, 5 * 10**5], 10**6)
    assert passing[0] > 1e5
    assert failing[1] > 1e5
    assert passing[2] < 0
    assert failing[2] < 0
    assert not np.isnan([passing, failing]).any()


@pytest.mark.parametrize("p", [0.05, 0.5, 0.93])
def test_the_anytime_interval_holds_at_all_times_at_once(p: float) -> None:
    """The exact probability that any interval up to the horizon misses p, by passing on the paths
    that none has missed yet.
    """
    alive, horizon, confidence = np.ones(1), 600, 0.9
    for n in range(1, horizon + 1):
        alive = np.append(alive * (1 - p), 0) + np.append(0, alive * p)
        low, high = anytime(np.arange(n + 1), n, confidence)
        alive = np.where((low <= p) & (p <= high), alive, 0)
    assert confidence <= alive.sum() < 1 - (1 - confidence) / 10
    fixed = clopper_pearson(np.arange(horizon + 1), horizon, confidence)
    assert (low < fixed.low + 1e-12).all()  # the price of looking at all times
    assert (high > fixed.high - 1e-12).all()
    assert (high - low).max() < 0.2


def test_what_is_no_count_is_refused() -> None:
    for interval in (clopper_pearson, wilson, anytime):
        with pytest.raises(ValueError, match="successes: not all from 0 to trials"):
            interval(3, 2)
        with pytest.raises(ValueError, match="successes: not all from 0 to trials"):
            interval([1, -1], 2)
        with pytest.raises(ValueError, match="not whole numbers"):
            interval(0.5, 2)
        for confidence in (0, 1, 95, math.nan):
            with pytest.raises(ValueError, match="confidence"):
                interval(1, 2, confidence)
    for field in ("bar", "false_pass", "false_fail"):
        with pytest.raises(ValueError, match=field):
            Gate(**{"bar": 0.5, field: 1.0})
    with pytest.raises(ValueError, match="first, second: shapes"):
        mcnemar([True], [True, False])
    with pytest.raises(ValueError, match="correct, labels: shapes"):
        by_class([True], [0, 1], 2)
    with pytest.raises(ValueError, match="labels: not all from 0 to 1"):
        by_class([True], [2], 2)
