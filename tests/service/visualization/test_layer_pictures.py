"""Blocks of a layer's pictures, and what their keys depend on."""

import math
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any, cast

import torch

from interp.feature.operator import ClipSmallNorm
from interp.feature.params.fourier import FourierSpec
from interp.feature.params.maco import MacoSpec
from interp.feature.penalty import L1Penalty
from interp.feature.settings import PictureSettings
from interp.feature.spatial import Jitter
from service.engine.job import Priority
from service.models.zoo import HostedModel
from service.visualization.comparison import DatasetMaxima, LayerMaxima
from service.visualization.layer_pictures import LayerPictures, blocks
from tests.service.visualization.toys_pictures import UNITS, ToyIndex

MODEL = cast(HostedModel, SimpleNamespace(digest="d"))
NO_INDEX = DatasetMaxima({})


def layer(units: range = range(UNITS), **changed: Any) -> LayerPictures:
    plain: dict[str, Any] = {
        "settings": PictureSettings((1, 32, 32)),
        "spectrum": "",
        "maxima": NO_INDEX,
    }
    return LayerPictures(
        model=MODEL,
        layer="c3",
        units=units,
        layer_units=UNITS,
        priority=Priority.INTERACTIVE,
        memory=0,
        **plain | changed,
    )


def key(pictures: LayerPictures, chunk: int = 8, platform: tuple[str, ...] = ("1",)) -> str:
    return blocks(pictures, chunk, platform)[0].key


def with_maxima(value: float) -> DatasetMaxima:
    found = LayerMaxima.find(cast(Any, ToyIndex(value)), "m", "d", "c3", None)
    assert found is not None
    return DatasetMaxima({"c3": found})


def test_blocks_begin_at_the_same_units_whichever_are_asked_for() -> None:
    whole, part = blocks(layer(), 8, []), blocks(layer(range(6, 10)), 8, [])
    assert [block.units for block in whole] == [range(8), range(8, 16)]
    assert [block.units for block in part] == [block.units for block in whole]
    assert [list(block.requested) for block in part] == [[6, 7], [8, 9]]
    assert [block.keys for block in part] == [block.keys for block in whole]
    assert len({name for block in whole for name in block.keys.values()}) == UNITS
    assert [block.units for block in blocks(layer(range(9, 10)), 8, [])] == [range(8, 16)]


def test_all_that_the_pixels_depend_on_is_in_the_key() -> None:
    plain = PictureSettings((1, 32, 32))
    others: dict[str, Any] = {
        "shape": (1, 32, 40),
        "steps": 3,
        "learning_rate": 0.2,
        "seed": 1,
        "parameterization": FourierSpec(2.0),
        "alpha": True,
        "penalties": (L1Penalty(0.5),),
        "operators": (ClipSmallNorm(0.5),),
        "transforms": (),
        "further_seeds": 1,
        "retries": 3,
        "input_size": (48, 48),
    }
    assert others.keys() == {field.name for field in fields(PictureSettings)}
    changed = [replace(plain, **{name: value}) for name, value in others.items()]
    changed += [
        replace(plain, transforms=(Jitter(0.1),)),
        replace(plain, transforms=(Jitter(0.2),)),
        replace(plain, parameterization=MacoSpec("digits")),
        replace(plain, parameterization=MacoSpec("digits", images=9)),
    ]
    names = [key(layer(settings=settings)) for settings in [plain, *changed]]
    names += [
        key(layer(spectrum="s")),
        key(layer(maxima=with_maxima(2.0))),
        key(layer(), chunk=4),
        key(layer(), platform=("2",)),
    ]
    assert len(set(names)) == len(names)


def test_the_spectrum_is_in_the_key_by_its_name() -> None:
    spec = MacoSpec("digits", magnitude=torch.ones(1, 32, 17))
    settings = PictureSettings((1, 32, 32), parameterization=spec)
    unknown = replace(settings, parameterization=replace(spec, magnitude=None))
    assert key(layer(settings=settings)) == key(layer(settings=unknown))


def test_without_retries_no_picture_depends_on_an_index() -> None:
    once = PictureSettings((1, 32, 32), retries=0)
    indexed = layer(settings=once, maxima=with_maxima(2.0))
    assert all(math.isnan(bound) for bound in indexed.thresholds(range(4)))
    assert key(indexed) == key(layer(settings=once))
    assert layer(maxima=with_maxima(2.0)).thresholds(range(2)) == [2.0, 2.0]
