"""Attacks as people write them who come from other libraries."""

import dataclasses
from typing import Any

import pytest

import striate
from striate.attacks import ATTACKS, named_attack


def test_eps_is_epsilon() -> None:
    for kind in ATTACKS.values():
        build: Any = kind
        assert build(eps=0.1) == build(epsilon=0.1) == dataclasses.replace(build(), epsilon=0.1)
        assert build(0.1).epsilon == 0.1
        with pytest.raises(TypeError, match="given epsilon twice"):
            build(eps=0.1, epsilon=0.1)
        with pytest.raises(TypeError, match="given epsilon twice"):
            build(0.1, eps=0.1)
    with pytest.raises(striate.InvalidArgument, match="epsilon"):
        striate.PGD(eps=-1)  # type: ignore[call-arg]


def test_settings_of_other_libraries_are_told_by_their_names_here() -> None:
    build: Any = striate.PGD
    for name, meant in {"alpha": "step", "nb_iter": "steps", "rand_init": "random_start"}.items():
        with pytest.raises(TypeError, match=rf"PGD has no setting '{name}'; it is called {meant} "):
            build(**{name: 1})
    with pytest.raises(TypeError, match=r"no setting 'colour'\. It has epsilon, step, steps, "):
        build(colour=1)


def test_an_attack_by_its_name_or_class_has_its_default_settings() -> None:
    for name, kind in ATTACKS.items():
        for word in (name, name.upper(), kind.__name__, name.replace("_", "-"), kind):
            assert named_attack("attack", word) == kind()
    pgd = striate.PGD(steps=3)
    assert named_attack("attack", pgd) is pgd
    with pytest.raises(striate.InvalidArgument, match="did you mean 'square'") as caught:
        named_attack("attacks[2]", "sqare")
    assert list(caught.value.fields) == ["attacks[2]"]
