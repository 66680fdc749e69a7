"""The options of pictures, which follow from the classes of settings, spaces, views and
regularizers.
"""

from dataclasses import fields
from typing import Any, get_args

import pytest

from striate import regularize, space, view
from striate._cli.interpret.picture_options import PICTURE_SETTINGS
from striate._requests.picture_settings import PictureSettings

COMPOSED = {
    "transforms": {"transforms", "transform"},
    "parameterization": {"space_text", "spectrum_dataset"},
    "regularizers": {"l1", "l2", "tv", "blur", "clip"},
}
DEFAULTS = {name: one.default for name, one in PICTURE_SETTINGS.parameters.items()}


def read(**options: Any) -> dict[str, Any]:
    found: dict[str, Any] = PICTURE_SETTINGS.read(**DEFAULTS | options)
    return found


def test_every_setting_has_an_option() -> None:
    expected: set[str] = set()
    for one in fields(PictureSettings):
        expected |= COMPOSED.get(one.name, {one.name})
    assert set(PICTURE_SETTINGS.parameters) == expected - {"priority"}


def test_without_options_settings_are_the_defaults() -> None:
    defaults = {one.name: one.default for one in fields(PictureSettings) if one.name != "priority"}
    assert read() == defaults | {"regularizers": []}


@pytest.mark.parametrize("kind", get_args(view.View))
def test_every_view_is_known_by_its_name(kind: type[Any]) -> None:
    (found,) = read(transform=[f"{kind.__name__.lower()}=0.25"])["transforms"]
    assert found == kind(0.25)


@pytest.mark.parametrize("kind", get_args(space.Space))
def test_every_space_is_known_by_its_name(kind: type[Any]) -> None:
    dataset = "photos" if kind is space.Maco else None
    found = read(space_text=kind.__name__.lower(), spectrum_dataset=dataset)["parameterization"]
    assert found == (kind(dataset) if dataset else kind())


@pytest.mark.parametrize("kind", get_args(regularize.Regularizer))
def test_every_regularizer_is_an_option(kind: type[Any]) -> None:
    name = {"TotalVariation": "tv"}.get(kind.__name__, kind.__name__.lower())
    assert read(**{name: "0.05"})["regularizers"] == [kind(0.05)]
