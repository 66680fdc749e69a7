"""The comparisons of networks: Holm's correction by brute force, and a sign test that holds at all
times, counted out over all ways that the images may come.
"""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from interp.audit.comparison import anytime_sign_test, holm
from tests.interp.audit.toys_tally import case, tally, told


def closed(p_values: list[float]) -> list[float]:
    """Holm's correction by its closed test: a hypothesis falls at the level at which every set of
    hypotheses that holds it falls by Bonferroni, all sets tried.
    """
    sets = [
        chosen
        for size in range(1, len(p_values) + 1)
        for chosen in itertools.combinations(range(len(p_values)), size)
    ]
    return [
        min(1.0, max(len(s) * min(p_values[i] for i in s) for s in sets if one in s))
        for one in range(len(p_values))
    ]


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.01, 0.3, 1.0]), max_size=7))
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    assert holm(p_values).tolist() == pytest.approx(closed(p_values))


def test_holm_on_an_example_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_the_sign_test_that_holds_at_all_times_rarely_falls_at_any_time(alpha: float) -> None:
    @cache
    def ever(first: int, second: int, left: int) -> float:
        """How probable p falls to alpha now or in `left` more images of a fair coin."""
        if anytime_sign_test(first, second) <= alpha:
            return 1.0
        if not left:
            return 0.0
        return (ever(first + 1, second, left - 1) + ever(first, second + 1, left - 1)) / 2

    @cache
    def mcnemar_ever(first: int, second: int, left: int) -> float:
        if first + second and stats.binomtest(first, first + second).pvalue <= alpha:
            return 1.0
        if not left:
            return 0.0
        more = mcnemar_ever(first + 1, second, left - 1), mcnemar_ever(first, second + 1, left - 1)
        return sum(more) / 2

    assert 0 < ever(0, 0, 60) <= alpha
    if alpha == 0.05:  # which is what McNemar's test does not promise
        assert mcnemar_ever(0, 0, 60) > 2 * alpha


def test_the_sign_test_in_closed_form() -> None:
    assert anytime_sign_test(0, 0) == 1
    for k in (1, 5, 30):  # all for one: the mixture's likelihood is 1 / (k + 1)
        assert anytime_sign_test(k, 0) == anytime_sign_test(0, k)
        assert anytime_sign_test(k, 0) == pytest.approx(min(1, (k + 1) / 2**k))
    assert anytime_sign_test(3000, 0) >= 0


@pytest.mark.parametrize("gates", [False, True])
def test_every_comparison_of_a_report_is_corrected_for_all(gates: bool) -> None:
    found = told(tally(case(3, 90, networks=4, gates=gates)))["comparisons"]
    assert len(found) == 6 * 4
    splits = [(item["only_first"], item["only_second"]) for item in found]
    raw = [stats.binomtest(a, a + b).pvalue if a + b else 1.0 for a, b in splits]
    assert [item["p_value"] for item in found] == pytest.approx(raw)
    assert [item["holm_p_value"] for item in found] == pytest.approx(stepped(raw))
    assert {"anytime_p_value" in item for item in found} == {gates}
    if gates:
        anytime = [anytime_sign_test(*split) for split in splits]
        assert [item["anytime_p_value"] for item in found] == anytime
        corrected = [item["anytime_holm_p_value"] for item in found]
        assert corrected == pytest.approx(stepped(anytime))


def stepped(p_values: list[float]) -> list[float]:
    """Holm's correction, one hypothesis after the other."""
    left, floor, found = sorted(range(len(p_values)), key=p_values.__getitem__), 0.0, {}
    while left:
        floor = max(floor, len(left) * p_values[left[0]])
        found[left.pop(0)] = min(floor, 1.0)
    return [found[place] for place in range(len(p_values))]


def test_one_network_is_compared_with_none() -> None:
    assert told(tally(case(3, 20, networks=1)))["comparisons"] == []
    assert np.size(holm([])) == 0
