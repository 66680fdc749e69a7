"""Two networks of an audit compared on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """Whether two networks are equally accurate under one condition, by the same images.

    Attributes:
        first: Name of the one model.
        second: Name of the other.
        condition: "clean", a norm and a radius such as "linf:8/255", or "corruptions".
        only_first: Images that the first alone gets right; under corruptions those of which it
            gets more versions right than the second.
        only_second: Images that the second alone gets right, likewise.
        p_value: Of McNemar's exact test, which holds for a number of images that was fixed
            beforehand, of this comparison for itself.
        holm_p_value: The same, corrected by Holm (1979) for all comparisons of the report.
        anytime_p_value: Of a sign test that holds whenever the audit ends; None where nothing could
            end it early.
        anytime_holm_p_value: The same, corrected likewise; None likewise.
    """

    first: str
    second: str
    condition: str
    only_first: int
    only_second: int
    p_value: float
    holm_p_value: float
    anytime_p_value: float | None
    anytime_holm_p_value: float | None

    @staticmethod
    def read(values: Mapping[str, Any]) -> Comparison:
        """Reads a comparison of the report.

        Args:
            values: By the names of its published schema.
        """
        return Comparison(
            first=values["first"],
            second=values["second"],
            condition=values["condition"],
            only_first=values["only_first"],
            only_second=values["only_second"],
            p_value=values["p_value"],
            holm_p_value=values["holm_p_value"],
            anytime_p_value=values.get("anytime_p_value"),
            anytime_holm_p_value=values.get("anytime_holm_p_value"),
        )
