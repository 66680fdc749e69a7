"""How far an accuracy measured on some images can be believed: intervals, a paired test, and a gate
that may stop early.

Counts are whole numbers or arrays of them, and what is returned has their shape. The images are
taken as independent draws.
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
HALVINGS = 60  # of an interval in [0, 1] down to rounding


class Interval(NamedTuple):
    """Bounds of an accuracy, in [0, 1]."""

    low: Floats
    high: Floats


def _counts(successes: ArrayLike, trials: ArrayLike) -> tuple[Ints, Ints]:
    k, n = np.broadcast_arrays(np.asarray(successes), np.asarray(trials))
    if k.dtype.kind not in "iu" or n.dtype.kind not in "iu":
        raise ValueError("successes, trials: not whole numbers")
    if ((k < 0) | (k > n)).any():
        raise ValueError("successes: not all from 0 to trials")
    return k.astype(np.int64), n.astype(np.int64)


def _error(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(f"{name}: {value} is not between 0 and 1")
    return value


def clopper_pearson(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> Interval:
    """The exact interval (Clopper & Pearson 1934): covers the accuracy with at least `confidence`.
    No trials: 0 to 1.

    Args:
        successes: counts, (N,) or one number.
        trials: of as many, (N,) or one number, at least the successes.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: counts that are not whole numbers with 0 <= successes <= trials, or a confidence
            outside (0, 1).
    """
    k, n = _counts(successes, trials)
    tail = (1 - _error("confidence", confidence)) / 2
    low = np.where(k > 0, stats.beta.ppf(tail, np.maximum(k, 1), n - k + 1), 0.0)
    high = np.where(k < n, stats.beta.isf(tail, k + 1, np.maximum(n - k, 1)), 1.0)
    return Interval(low, high)


def wilson(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> Interval:
    """The score interval (Wilson 1927): covers with about `confidence`, shorter than the exact one.
    No trials: 0 to 1.

    Args:
        successes: counts, (N,) or one number.
        trials: of as many, (N,) or one number, at least the successes.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: as for `clopper_pearson`.
    """
    k, n = _counts(successes, trials)
    z = stats.norm.isf((1 - _error("confidence", confidence)) / 2)
    share = k / np.maximum(n, 1)
    weight = n + z**2
    middle = (n * share + z**2 / 2) / weight
    half = z / weight * np.sqrt(n * share * (1 - share) + z**2 / 4)
    low, high = np.where(k > 0, middle - half, 0.0), np.where(k < n, middle + half, 1.0)
    return Interval(np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0))


def by_class(correct: ArrayLike, labels: ArrayLike, classes: int) -> tuple[Ints, Ints]:
    """(successes, trials) of each class, (classes,) each, to be given to an interval; correct (N,)
    bool, labels (N,).

    Args:
        correct: (N,) bool.
        labels: (N,) int.
        classes: how many there are.

    Raises:
        ValueError: unequal lengths, or labels outside 0 to classes - 1.
    """
    right, label = np.asarray(correct, dtype=bool), np.asarray(labels)
    if right.shape != label.shape or right.ndim != 1:
        raise ValueError(
            f"correct, labels: shapes {right.shape} and {label.shape} are not one and the same (N,)"
        )
    if label.size and not (label.min() >= 0 and label.max() < classes):
        raise ValueError(f"labels: not all from 0 to {classes - 1}")
    label = label.astype(np.int64)
    return np.bincount(label[right], minlength=classes), np.bincount(label, minlength=classes)


class McNemar(NamedTuple):
    """Images that only the first and only the second network gets right, and how probable so uneven
    a split is by chance.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: ArrayLike, second: ArrayLike, mid_p: bool = False) -> McNemar:
    """Whether two networks are equally accurate, by the same images: first, second (N,) bool, right
    or wrong.

    The exact two-sided binomial test on the images on which they differ (McNemar 1947); `mid_p`
    counts half the probability of the split seen, which is less conservative, and not strictly
    within the level (Fagerland et al. 2013).

    Args:
        first: (N,) bool, which images the first network gets right.
        second: (N,) bool, which the second does.
        mid_p: count half the probability of the split seen.

    Raises:
        ValueError: unequal lengths.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(
            f"first, second: shapes {a.shape} and {b.shape} are not one and the same (N,)"
        )
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    fewer, differ = min(only_first, only_second), only_first + only_second
    tails, seen = 2 * stats.binom.cdf(fewer, differ, 0.5), stats.binom.pmf(fewer, differ, 0.5)
    if not differ:
        p = 1.0
    elif only_first == only_second:
        p = 1 - seen / 2 if mid_p else 1.0
    else:
        p = tails - seen if mid_p else tails
    return McNemar(only_first, only_second, float(p))


def anytime(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> Interval:
    """An interval that holds at all times at once: with at least `confidence` no interval ever
    misses the accuracy.

    It may be looked at after every image, and the count may be stopped for what it shows, where a
    fixed-size interval would no longer hold. All p whose likelihood ratio against a uniform mixture
    stays under 1 / (1 - confidence), by Ville's inequality (Robbins 1970, "Statistical methods
    related to the law of the iterated logarithm", section 3; Howard et al. 2021, "Time-uniform,
    nonparametric, nonasymptotic confidence sequences").

    Args:
        successes: counts, (N,) or one number.
        trials: of as many, (N,) or one number, at least the successes.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: as for `clopper_pearson`.
    """
    k, n = _counts(successes, trials)
    most = -np.log1p(-_error("confidence", confidence))
    evidence = special.betaln(k + 1, n - k + 1)

    def excluded(p: Floats) -> NDArray[np.bool_]:
        return evidence - special.xlogy(k, p) - special.xlog1py(n - k, -p) >= most  # type: ignore[no-any-return]

    share = k / np.maximum(n, 1)
    bounds = []
    for end in (0.0, 1.0):
        outer, inner = np.full(share.shape, end), share.astype(np.float64)
        for _ in range(HALVINGS):
            middle = (outer + inner) / 2
            out = excluded(middle)
            outer, inner = np.where(out, middle, outer), np.where(out, inner, middle)
        bounds.append(np.where(excluded(np.full(share.shape, end)), outer, end))
    return Interval(bounds[0], bounds[1])


class GateVerdict(enum.Enum):
    """What a gate says of an accuracy."""

    PASS = "at least the bar"
    FAIL = "below the bar"
    OPEN = "undecided"


class GateDecision(NamedTuple):
    """A verdict, and after how many images it was reached (all of them, if it is open)."""

    verdict: GateVerdict
    trials: int


@dataclass(frozen=True)
class Gate:
    """Is the accuracy at least `bar`? A sequential test that may be asked after every image.

    Two bets run side by side, one against "below the bar", one against "at least the bar"; a bet's
    gain is the likelihood ratio of a uniform mixture of the accuracies on the other side against
    the bar itself. Under what it bets against, a gain is a nonnegative supermartingale, so that it
    ever reaches 1 / error with a probability of at most `error` (Ville 1939; Robbins 1970;
    Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting"). The
    images must come in random order.

    Args:
        bar: between 0 and 1, both excluded.
        false_pass: probability of ever passing a network whose accuracy is below the bar, at most.
        false_fail: probability of ever failing one whose accuracy is at least the bar, at most.

    Raises:
        ValueError: a value outside its range.
    """

    bar: float
    false_pass: float = 0.05
    false_fail: float = 0.05

    def __post_init__(self) -> None:
        for name in ("bar", "false_pass", "false_fail"):
            _error(name, getattr(self, name))

    def evidence(self, successes: ArrayLike, trials: ArrayLike) -> tuple[Floats, Floats]:
        """Logarithms of the gains of the bets on "at least the bar" and on "below the bar".

        Args:
            successes: right images, (N,) or one number.
            trials: of as many, (N,) or one number.
        """
        k, n = _counts(successes, trials)
        both = (
            special.betaln(k + 1, n - k + 1)
            - special.xlogy(k, self.bar)
            - special.xlog1py(n - k, -self.bar)
        )
        with np.errstate(divide="ignore"):  # a bet that is lost altogether
            above = np.log(special.betaincc(k + 1, n - k + 1, self.bar)) - np.log1p(-self.bar)
            below = np.log(special.betainc(k + 1, n - k + 1, self.bar)) - np.log(self.bar)
        return both + above, both + below

    def decide(self, correct: ArrayLike) -> GateDecision:
        """The verdict on images in the order in which they were judged, correct (N,) bool: the
        first that was reached.

        It does not depend on how often one asks: more images never change a verdict.
        """
        right = np.asarray(correct, dtype=bool)
        n = np.arange(1, len(right) + 1)
        passing, failing = self.evidence(np.cumsum(right), n)
        passed, failed = passing >= -np.log(self.false_pass), failing >= -np.log(self.false_fail)
        reached = passed | failed
        if not reached.any():
            return GateDecision(GateVerdict.OPEN, len(right))
        first = int(reached.argmax())
        return GateDecision(GateVerdict.PASS if passed[first] else GateVerdict.FAIL, first + 1)
