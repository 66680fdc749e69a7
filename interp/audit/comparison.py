"""Every two networks of an audit compared on the same images, with p-values that allow for the
number of comparisons.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from interp.audit.statistics import Floats, mcnemar
from interp.audit.tally import Tally, compared_conditions

Json = dict[str, Any]


def holm(p_values: ArrayLike) -> Floats:
    """Correct p-values for their number (Holm 1979, "A simple sequentially rejective multiple test
    procedure").

    To call uneven what has a corrected value of at most alpha errs anywhere with a probability of
    at most alpha, however the comparisons depend on each other.

    Args:
        p_values: (N,) of all comparisons that are made, in [0, 1].

    Returns:
        (N,) in the same order: the r-th smallest, counted from 0, times N - r, at least as large as
        those of all smaller ones and at most 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(
        np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p, 1.0
    )
    return corrected


def anytime_sign_test(only_first: int, only_second: int) -> float:
    """Whether two networks are equally accurate, where the images may have been stopped for what
    they show.

    One over the likelihood ratio of a uniform mixture of all shares against one half, on the images
    on which the networks differ: under one half it falls to alpha at any time with a probability of
    at most alpha (Ville 1939; Robbins 1970, section 3).

    Args:
        only_first: images on which the first network alone is right.
        only_second: images on which the second alone is.

    Returns:
        The p-value, at most 1.
    """
    differ = only_first + only_second
    evidence = special.betaln(only_first + 1, only_second + 1) + differ * np.log(2)
    return float(np.exp(-max(evidence, 0.0)))


def comparisons(tally: Tally, names: Sequence[str], anytime: bool) -> list[Json]:
    """Compare every two networks under every condition by McNemar's exact test, corrected by Holm.

    Args:
        tally: of the audit.
        names: of the networks, in the tally's order.
        anytime: say, too, what holds where the audit may have stopped for what it found.

    Returns:
        One value a pair and condition, as the report has it.
    """
    found: list[Json] = [
        {"first": names[first], "second": names[second], "condition": at}
        | mcnemar(np.repeat([True, False], pair), np.repeat([False, True], pair))._asdict()
        for (first, second), counts in tally.pairs.items()
        for at, pair in zip(compared_conditions(tally.plan), counts.tolist(), strict=True)
    ]
    _correct(found, "p_value", "holm_p_value")
    if anytime:
        for item in found:
            item["anytime_p_value"] = anytime_sign_test(item["only_first"], item["only_second"])
        _correct(found, "anytime_p_value", "anytime_holm_p_value")
    return found


def _correct(found: list[Json], raw: str, corrected: str) -> None:
    for item, p in zip(found, holm([item[raw] for item in found]).tolist(), strict=True):
        item[corrected] = p
