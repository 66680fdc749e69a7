"""The errors of a network under corruptions beside those of a reference: mCE and relative mCE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CorruptionError:
    """The errors under one corruption, over all severities that were tried.

    Attributes:
        corruption: Its name.
        ce: CE, the errors as a share of the reference's; None where it makes none.
        relative_ce: Relative CE, what the corruption adds to the errors on clean images as a share
            of what it adds to the reference's; None where it adds none to these.
        undefined: Why one of the two is, or both are, None; "" if neither is.
    """

    corruption: str
    ce: float | None
    relative_ce: float | None
    undefined: str


@dataclass(frozen=True)
class MeanCorruptionError:
    """mCE and relative mCE of a network (Hendrycks & Dietterich 2019, section 4.2).

    1 is as many errors as the reference makes; the publication writes it as 100, over fifteen
    corruptions at five severities with AlexNet as its reference.

    Attributes:
        model: Name of the model.
        reference: Name of the reference.
        mce: Mean of the CE that are defined, None if none is.
        relative_mce: The same of the relative CE.
        severities: Those of the corruptions that were tried, 1 to 5.
        corruptions: Each corruption that was tried.
    """

    model: str
    reference: str
    mce: float | None
    relative_mce: float | None
    severities: tuple[int, ...]
    corruptions: tuple[CorruptionError, ...]

    @staticmethod
    def read(report: Mapping[str, Any]) -> tuple[MeanCorruptionError, ...]:
        """Reads those of a report.

        Args:
            report: By its published schema.

        Returns:
            One a model; none where the audit had no reference.
        """
        return tuple(
            MeanCorruptionError(
                model=network["name"],
                reference=report["mce_reference"]["name"],
                mce=found["mce"],
                relative_mce=found["relative_mce"],
                severities=tuple(report["settings"]["severities"]),
                corruptions=tuple(
                    CorruptionError(
                        one["name"], one["ce"], one["relative_ce"], one["undefined"] or ""
                    )
                    for one in found["corruptions"]
                ),
            )
            for network in report["networks"]
            if (found := network.get("corruption_error")) is not None
        )
