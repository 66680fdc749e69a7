"""Names that look like an unknown one."""

import time

from interp.names import LONGEST, nearest_names


def test_up_to_three_names_the_most_alike_first() -> None:
    known = [f"layer{number}" for number in range(9)]
    assert nearest_names("layer33", known)[0] == "layer3"
    assert len(nearest_names("layer", known)) == 3
    assert nearest_names("zzzz", known) == []


def test_the_cutoff_is_the_least_likeness() -> None:
    assert nearest_names("ab", ["abxyz"], cutoff=0.5) == ["abxyz"]
    assert nearest_names("ab", ["abxyzw"], cutoff=0.6) == []


def test_a_long_name_costs_no_more_than_its_beginning() -> None:
    started = time.monotonic()
    nearest_names("x" * 10**6, ["y" * LONGEST] * 100)
    assert time.monotonic() - started < 1
