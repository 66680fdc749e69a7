"""What a check of an evaluation says, and the exact tests that decide it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from scipy import stats
from torch import Tensor

Status = Literal["passed", "failed", "skipped"]

LEVEL = 1e-3  # how probable it may be that a test fails a network for which its hypothesis holds
TOLERATED = 0.02  # of the images, on which a sound network may be odd
CHANGE = 0.05  # of the images, what twice the effort may add
SOUND = "Carlini et al. 2019, section 3.1"  # basic sanity tests on attack success rates


@dataclass(frozen=True)
class Check:
    """One check of an evaluation.

    Attributes:
        evidence: one sentence with the numbers.
        source: where the check is proposed.
        numbers: the same by name: counts, shares and p-values.
    """

    name: str
    status: Status
    evidence: str
    source: str
    numbers: Mapping[str, float] = field(default_factory=dict)


def check(name: str, failed: bool, evidence: str, source: str, **numbers: float) -> Check:
    """A check that was made.

    Args:
        name: of the check.
        failed: whether it failed.
        evidence: one sentence with the numbers.
        source: where the check is proposed.
        numbers: the same by name.
    """
    return Check(name, "failed" if failed else "passed", evidence, source, numbers)


def skipped(name: str, reason: str, source: str) -> Check:
    """A check that could not be made.

    Args:
        name: of the check.
        reason: one sentence.
        source: where the check is proposed.
    """
    return Check(name, "skipped", reason, source)


def excess(count: int, trials: int, share: float = TOLERATED) -> float:
    """How probable `count` or more of `trials` images are where each is so with a probability of at
    most `share`.

    Args:
        count: images that are so.
        trials: images in all.
        share: of the images, what is tolerated.

    Returns:
        The p-value of an exact one-sided binomial test.
    """
    return float(stats.binom.sf(count - 1, trials, share))


def dominates(only_first: int, only_second: int) -> float:
    """How probable so many more for the first are where the second is at least as likely to be the
    one, of those that differ.

    Args:
        only_first: images on which the first alone succeeds.
        only_second: those on which the second alone does.

    Returns:
        The p-value of an exact one-sided binomial test.
    """
    return float(stats.binom.sf(only_first - 1, only_first + only_second, 0.5))


def count(rows: Tensor) -> int:
    """How many rows of (B,) bool are true."""
    return int(rows.sum())


def probability(p: float) -> str:
    """A p-value for a sentence."""
    return f"p = {p:.2g}"


def gap(
    name: str,
    finder: str,
    new: int,
    trials: int,
    source: str,
    tolerated: float = TOLERATED,
    others: str = "the white-box attack does not",
) -> Check:
    """A check that `finder` fools hardly any image that the white-box attack (or who else `others`
    names) does not.

    It fails where the images that it does fool are more than can be explained if each is one with a
    probability of `tolerated`, by an exact binomial test at `LEVEL`: a network that stays within
    what is tolerated fails with at most that probability.

    Args:
        name: of the check.
        finder: who fools images, as a sentence begins.
        new: images that the finder alone fools.
        trials: images in all.
        source: where the check is proposed.
        tolerated: share of the images.
        others: who does not fool them, as the sentence goes on.
    """
    p = excess(new, trials, tolerated)
    evidence = (
        f"{finder} fools {new} of {trials} images that {others}; {tolerated:.0%} are tolerated "
        f"({probability(p)})."
    )
    return check(
        name, p <= LEVEL, evidence, source, new=new, trials=trials, tolerated=tolerated, p_value=p
    )
