"""Corruption errors: how often a network errs on corrupted images, beside how often a reference
does (Hendrycks & Dietterich 2019, section 4.2).
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, NamedTuple

from interp.audit.plan import Plan
from interp.audit.tally import Sums


class Reference(NamedTuple):
    """The network whose errors are the unit.

    Attributes:
        name: of it.
        digest: the SHA-256 of it in hex.
        doubt: why its answer to an image depends on the others in its pass; "" if it does not.
    """

    name: str
    digest: str
    doubt: str = ""


class CorruptionError(NamedTuple):
    """The errors under one corruption, over all severities that were tried.

    Attributes:
        name: of the corruption.
        ce: CE, the errors as a share of the reference's; None where the reference makes none.
        relative_ce: relative CE, what the corruption adds to the errors on clean images as a share
            of what it adds to the reference's; None where it adds none to these.
        undefined: why one of the two is, or both are, None.
    """

    name: str
    ce: float | None
    relative_ce: float | None
    undefined: str | None


def corruptions_alone(plan: Plan) -> Plan:
    """What a reference that is not audited is shown: the clean and the corrupted images, which are
    those that the audited networks are shown.

    Args:
        plan: of the audit.
    """
    return replace(plan, threats=(), attacks=(), augmentations=())


def corruption_errors(
    plan: Plan, sums: Sums, reference: Sums, reference_name: str
) -> list[CorruptionError]:
    """Set the errors of a network beside those of the reference on the same images.

    CE_c = sum_s E_{s,c} / sum_s E^ref_{s,c}, and relative CE_c =
    sum_s (E_{s,c} - E_clean) / sum_s (E^ref_{s,c} - E^ref_clean), over the severities s of a
    corruption c. A share of 1 is as many errors as the reference makes; the publication writes it
    as 100 (percent), of five severities, with AlexNet as its reference.

    Args:
        plan: of the audit.
        sums: of the network.
        reference: sums of the reference, of the same images.
        reference_name: for what is said where an error is undefined.

    Returns:
        One a corruption of the plan.
    """
    wrong, clean = _errors(plan, sums)
    theirs, theirs_clean = _errors(plan, reference)
    images, levels = int(reference.trials.sum()), len(plan.severities)
    found = []
    for name, ours, unit in zip(plan.corruptions, wrong, theirs, strict=True):
        added, unit_added = ours - levels * clean, unit - levels * theirs_clean
        undefined = None
        if not unit:
            undefined = (
                f"CE and relative CE are undefined: {reference_name} errs on none of the {images} "
                f"images at any severity"
            )
        elif unit_added <= 0:
            undefined = (
                f"relative CE is undefined: {reference_name} errs no more often than on the clean "
                f"images"
            )
        found.append(
            CorruptionError(
                name,
                ours / unit if unit else None,
                added / unit_added if unit_added > 0 else None,
                undefined,
            )
        )
    return found


def _errors(plan: Plan, sums: Sums) -> tuple[list[int], int]:
    """(errors under each corruption, summed over the severities; errors on the clean images)."""
    images = int(sums.trials.sum())
    right = sums.corrupted.reshape(len(plan.corruptions), -1).sum(1).tolist()
    return [len(plan.severities) * images - k for k in right], images - int(sums.clean.sum())


def mean_errors(errors: Sequence[CorruptionError]) -> dict[str, Any]:
    """mCE and relative mCE, the means over the corruptions in which they are defined.

    Args:
        errors: one a corruption.

    Returns:
        Plain values: "mce" and "relative_mce", None without any, over how many corruptions each is,
        and "corruptions" with each.
    """
    ces = [error.ce for error in errors if error.ce is not None]
    relative = [error.relative_ce for error in errors if error.relative_ce is not None]
    return {
        "mce": fmean(ces) if ces else None,
        "mce_over": len(ces),
        "relative_mce": fmean(relative) if relative else None,
        "relative_mce_over": len(relative),
        "corruptions": [error._asdict() for error in errors],
    }
