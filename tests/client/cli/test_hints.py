"""The command that helps, with the names that were given."""

import pytest

from striate._cli.hints import hint
from striate.errors import (
    BadImage,
    DatasetNotFound,
    IndexNotFound,
    LayerNotFound,
    ModelNotFound,
    StriateError,
    Unavailable,
)


@pytest.mark.parametrize(
    ("error", "given", "told"),
    [
        (
            IndexNotFound("none"),
            {"model": "cifar10-plain", "dataset": "photo-patches", "unit": "layer2.0:7"},
            "striate index cifar10-plain --dataset photo-patches --layer layer2.0",
        ),
        (
            IndexNotFound("none"),
            {"model": "m", "dataset": "d", "objectives": ["2*layer1:3 - layer2:1"]},
            "striate index m --dataset d --layer layer1",
        ),
        (
            IndexNotFound("none"),
            {"model": "m", "dataset": None, "unit": '"block a":7@1,2'},
            "striate index m --dataset NAME --layer '\"block a\"'",
        ),
        (IndexNotFound("none"), {}, "striate index MODEL --dataset NAME --layer LAYER"),
        (ModelNotFound("the model 'vgg16' is not loaded"), {"model": "vgg16"}, "load vgg16"),
        (ModelNotFound("there is no model 'vgg61'"), {"model": "vgg61"}, "models --available"),
        (LayerNotFound("none"), {"model": "m"}, "striate layers m"),
        (DatasetNotFound("none"), {"dataset": "d"}, "striate datasets"),
        (Unavailable("gone"), {}, "--server HOST:PORT"),
    ],
)
def test_hints(error: StriateError, given: dict[str, object], told: str) -> None:
    found = hint(error, given)
    assert found is not None
    assert told in found


def test_nothing_is_said_where_nothing_helps() -> None:
    assert hint(BadImage("broken"), {"model": "m"}) is None
