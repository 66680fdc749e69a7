"""Plans that would be ambiguous, and the names of what they try."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.audit.conditions import condition, parse
from interp.audit.plan import MAGNITUDES, column_names
from interp.audit.shard import Plan, Threat
from interp.corruption.augmentation import AUGMENTATIONS
from tests.interp.audit.toys_audit import FGSM, THREATS


def test_magnitudes_are_within_what_augmentations_allow() -> None:
    assert MAGNITUDES.keys() == AUGMENTATIONS.keys()
    assert all(0 < value <= AUGMENTATIONS[name].most for name, value in MAGNITUDES.items())


def test_a_plan_refuses_what_would_be_ambiguous() -> None:
    for epsilons in ((), (0.0, 0.1), (0.2, 0.1), (0.1, 0.1)):
        with pytest.raises(ValueError, match="do not rise"):
            Plan((Threat(2, epsilons),))
    refused = partial(pytest.raises, ValueError, match="would stand for two things")
    with refused():
        Plan(THREATS, (FGSM, FGSM))
    with refused():
        Plan(THREATS, (FGSM._replace(label="noise"),))
    with refused():
        Plan((THREATS[0], THREATS[0]))
    with refused():
        Plan((), corruptions=("fog", "fog"))
    names = [
        "linf:1/255 noise",
        "linf:1/255 FGSM",
        "linf minimal_epsilon",
        "linf found_by",
        "fog 1",
        "fog 4",
        "rotation",
    ]
    assert [
        *column_names(
            Plan((Threat(math.inf, (1 / 255,)),), (FGSM,), ("fog",), (1, 4), ("rotation",))
        )
    ] == names


def test_conditions_have_the_names_that_people_write() -> None:
    known = {
        "linf:8/255": 8 / 255,
        "linf:0.5/255": 0.5 / 255,
        "linf:0.03": 0.03,
        "linf:1": 1.0,
        "linf:0.2": 51 / 255,
    }
    for name, epsilon in known.items():
        assert (
            condition(math.inf, epsilon) == condition(math.inf, float(np.float32(epsilon))) == name
        )
        assert parse(name)[0] == math.inf
        assert parse(name)[1] == pytest.approx(epsilon)
    assert [condition(2, 0.5), condition(1, 12.0), condition(1, 1234.5), condition(2, 0.12345)] == [
        "l2:0.5",
        "l1:12",
        "l1:1234.5",
        "l2:0.12345",
    ]
    assert parse("l2:16/32") == (2, 0.5)
    for name in (
        "clean",
        "linf",
        "linf:",
        "linf:x",
        "l3:0.5",
        "linf:0",
        "l2:-1",
        "l2:1/0",
        "l2:nan",
        "l2:inf",
    ):
        with pytest.raises(ValueError, match="is no norm"):
            parse(name)


@given(st.sampled_from([math.inf, 2.0, 1.0]), st.floats(1e-6, 1e5))
def test_a_condition_can_be_read_again(p: float, epsilon: float) -> None:
    name = condition(p, epsilon)
    assert parse(name)[0] == p
    assert parse(name)[1] == pytest.approx(epsilon, rel=1e-5)
    assert condition(*parse(name)) == name
