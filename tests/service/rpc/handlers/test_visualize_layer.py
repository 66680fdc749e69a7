"""A whole layer: deterministic whoever shares the engine, kept by content, held against today's
indexes, and gone with its reader.
"""

import asyncio
import io
import json
import math
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from interp.feature.visualize import Settings, Trial, visualize
from interp.layer import LayerPath
from interp.objective import activation
from interp.probe import solve
from service.engine import submit
from service.engine.job import NotFinite
from service.index.types import IndexMissing, Maxima, Subject
from service.rpc.validation import InvalidField
from service.visualization.cache import Picture
from service.visualization.comparison import Yardstick, relative_rank
from service.visualization.spec import Recipe
from striate.v1 import visualize_pb2 as pb
from tests.service.engine.toys_engine import counted
from tests.service.rpc.toys_studio import CALL, NAME, Studio, run, studio

C3 = 16  # units


class Index:
    """An index of one layer, made up: every unit has these maxima."""

    def __init__(self, mean: Any, peak: float = 50.0, layer: str = "c3") -> None:
        self.mean = np.broadcast_to(np.asarray(mean, np.float32), (C3,))
        self.peak, self.layer, self.asked = peak, layer, list[tuple[int, str]]()

    def indexed(self, model: str, digest: str, layer: str) -> list[Subject]:
        return [Subject(model, digest, "made-up", "x:", 9)] if layer == self.layer else []

    def maxima(self, subject: Subject, layer: str) -> Maxima | None:
        return (
            Maxima(np.full(C3, self.peak, np.float32), self.mean, 9)
            if layer == self.layer
            else None
        )

    def percentile(
        self, subject: Subject, layer: str, unit: int, value: float, of: str = "max"
    ) -> float:
        self.asked.append((unit, of))
        return 0.75


def indexed(place: Studio, index: Index) -> None:
    """Has the planner of the pictures ask this index."""
    place.handlers.VisualizeLayer.__self__._planner._index = index


def pngs(found: list[pb.VisualizeLayerResponse]) -> dict[int, bytes]:
    return {
        one.picture.unit: one.picture.visualization.png for one in found if one.HasField("picture")
    }


def test_a_unit_is_the_same_alone_in_a_layer_and_beside_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        alone = dict[int, bytes]()
        async with studio(tmp_path / "a") as place:
            for unit in (15, 7):
                alone |= pngs(await place.layer("c3", first=unit, count=1, steps=4))
        async with studio(tmp_path / "b", tick_rows=24) as place:
            other = asyncio.ensure_future(
                place.visualize(objectives=["c3:1", "f6:2", "c5:3"], steps=30, deterministic=True)
            )
            crowded = pngs(await place.layer("c3", steps=4))
            await other
        assert sorted(crowded) == list(range(C3))
        assert alone[7] == crowded[7]
        assert alone[15] == crowded[15]
        assert len(set(crowded.values())) == C3

    run(scenario)


def test_a_unit_draws_from_the_seed_and_its_number(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            (shown,) = pngs(
                await place.layer(
                    "c3",
                    first=9,
                    count=1,
                    steps=4,
                    seed=3,
                    certification=pb.Certification(retries=0),
                )
            ).values()
            network = place.model.network
            climb = visualize(
                activation([LayerPath("c3", 9)]),
                [(3, 9)],
                torch.zeros(()),
                Settings(network.shape, 4),
                Trial(retries=0),
            )
            expected = (
                (await asyncio.wrap_future(place.engine.run(lambda: solve(climb, network))))
                .images[0, 0]
                .numpy()
            )
            assert (
                np.abs(np.asarray(Image.open(io.BytesIO(shown))) / 255 - expected).max() < 2 / 255
            )

    run(scenario)


def test_what_is_kept_is_told_and_equal(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            first = await place.layer("c3", count=10, steps=3)
        async with studio(tmp_path) as place:  # the server was started again
            again = await place.layer("c3", steps=3)
            assert {one.picture.unit for one in again} == set(range(C3))
            assert pngs(again) | pngs(first) == pngs(again)
            assert all(
                one.picture.cached for one in again
            )  # the second block was finished for units 8 and 9
            assert place.engine.ticks == 0
            changed: list[dict[str, Any]] = [
                {"steps": 4},
                {"steps": 3, "seed": 1},
                {"steps": 3, "size": 40},
                {"steps": 3, "learning_rate": 0.11},
            ]
            for settings in changed:
                (one,) = await place.layer("c3", first=1, count=1, **settings)
                assert not one.picture.cached
            shutil.rmtree(tmp_path / "pictures")
            made = await place.layer("c3", count=10, steps=3)
            assert pngs(made) == pngs(first)
            assert not any(one.picture.cached for one in made)

    run(scenario)


def test_all_that_the_pixels_depend_on_is_in_the_key() -> None:
    plain = Recipe((1, 32, 32))
    others: dict[str, Any] = {
        "shape": (1, 32, 40),
        "steps": 3,
        "rate": 0.2,
        "seed": 1,
        "space": ("fourier", (2.0,)),
        "dataset": "digits",
        "alpha": True,
        "regularizers": (("l1", (0.5,)),),
        "views": (),
        "variants": 2,
        "seeds": 1,
        "retries": 3,
    }
    apart_from_them = {
        "start",
        "apart",
        "indexed",
    }  # no part of a layer's request, and the bars that an index sets
    assert others.keys() == {field.name for field in fields(Recipe)} - apart_from_them
    contents = [
        json.dumps(replace(plain, **{name: value}).content) for name, value in others.items()
    ]
    assert len({json.dumps(plain.content), *contents}) == 1 + len(others)


def test_a_unit_that_is_not_finite_is_dead_and_the_others_are_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            sound = pngs(await place.layer("c3", steps=3))
        async with studio(tmp_path / "broken") as place:
            indexed(place, Index(-1e6))
            bias = place.model.network.module.get_parameter("c3.bias").data
            bias[5] = math.nan
            *units, last = await place.layer("c3", steps=3, sheet=True)
            seen = {one.picture.unit: one.picture.visualization for one in units}
            assert sorted(seen) == list(range(C3)) == list(last.sheet.units)
            assert [unit for unit, one in seen.items() if one.dead] == [5]
            assert all(
                math.isnan(value) for value in (seen[5].activation, seen[5].certificate.held_out)
            )
            assert not seen[5].certificate.HasField("percentile")
            assert np.ptp(np.asarray(Image.open(io.BytesIO(seen[5].png)))) == 0
            assert {one.certificate.rank for unit, one in seen.items() if unit != 5} <= set(
                range(1, C3)
            )
            assert {unit: pngs(units)[unit] for unit in range(8, C3)} == {
                unit: sound[unit] for unit in range(8, C3)
            }
            again = await place.layer("c3", steps=3)
            assert all(one.picture.cached for one in again)
            assert pngs(again) == pngs(units)
            (alone,) = (await place.visualize(objectives=["c3:4"], steps=3)).visualizations
            assert not alone.dead
            with pytest.raises(NotFinite):
                await place.visualize(objectives=["c3:4", "c3:5"], steps=3)

    run(scenario)


def test_two_readers_of_a_layer_cost_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            one, two = await asyncio.gather(*(place.layer("c3", steps=5) for _ in range(2)))
            assert pngs(one) == pngs(two)
            ticks = place.engine.ticks
        async with studio(tmp_path / "alone") as place:
            await place.layer("c3", steps=5)
            assert ticks <= place.engine.ticks + 2

    run(scenario)


def test_the_index_of_today_counts_whatever_is_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        once = pb.Certification(retries=0)
        async with studio(tmp_path) as place:
            (bare,) = await place.layer("c3", first=4, count=1, steps=3, certification=once)
            assert not bare.picture.visualization.certificate.HasField("ratio")
            index = Index(2.0)
            indexed(place, index)
            (held,) = await place.layer("c3", first=4, count=1, steps=3, certification=once)
            assert held.picture.cached  # without retries no picture hangs on an index
            found = held.picture.visualization.certificate
            assert (found.dataset_maximum, found.dataset, found.images, found.percentile) == (
                2.0,
                "made-up",
                9,
                0.75,
            )
            assert found.ratio == pytest.approx(found.activation / 2)
            assert found.held_out_ratio == pytest.approx(found.held_out / 2)
            assert found.relative_rank == found.rank  # equal maxima
            assert index.asked == [(4, "mean")]

    run(scenario)


def test_what_is_below_the_bar_is_tried_again_and_the_bar_is_in_the_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            attempts = []
            for bar in (1e6, 1e6, -1e6):
                indexed(place, Index(bar))
                (one,) = await place.layer(
                    "c3", first=4, count=1, steps=3, certification=pb.Certification(retries=2)
                )
                attempts.append(
                    (one.picture.visualization.certificate.attempts, one.picture.cached)
                )
            assert attempts == [(3, False), (3, True), (1, False)]

    run(scenario)


def test_a_named_data_set_must_have_an_index(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            with pytest.raises(IndexMissing, match="digits"):
                await place.layer("c3", steps=3, certification=pb.Certification(dataset="digits"))

    run(scenario)


def test_a_full_queue_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "LONGEST_PAUSE", 0.005)

    async def scenario() -> None:
        async with studio(
            tmp_path, memory=1, queue_size=1
        ) as place:  # one job at a time, and one that waits
            other = asyncio.ensure_future(place.visualize(objectives=["c3:1"], steps=60))
            while not await place.jobs():
                pass
            assert len(await place.layer("c3", steps=2)) == C3
            await other
            assert counted(place.engine, "striate_refused_total") > 0

    run(scenario)


def test_a_reader_who_leaves_takes_the_jobs_along(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            reading = asyncio.ensure_future(place.layer("c3", steps=4096))
            while not await place.jobs():
                pass
            reading.cancel()
            while await place.jobs():
                pass
            assert reading.cancelled()
            assert len(await place.layer("c3", steps=2)) == C3

    run(scenario)


def test_the_sheet_has_every_unit_at_its_place(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            *units, last = await place.layer("c3", first=2, count=7, sheet=True, steps=3)
            sheet = last.sheet
            assert [one.units_done for one in (*units, last)] == [1, 2, 3, 4, 5, 6, 7, 7]
            assert {one.units_total for one in units} == {7}
            assert list(sheet.units) == list(range(2, 9))
            found = np.asarray(Image.open(io.BytesIO(sheet.png)))
            for number, unit in enumerate(sheet.units):
                top, left = (
                    number // sheet.columns * sheet.tile,
                    number % sheet.columns * sheet.tile,
                )
                tile = np.asarray(Image.open(io.BytesIO(pngs(units)[unit])))
                assert np.array_equal(found[top : top + 32, left : left + 32], tile)

    run(scenario)


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    layer = pb.VisualizeLayerRequest
    refused = [
        (layer(layer="c3:1"), "layer"),
        (layer(layer=""), "layer"),
        (layer(layer="c3", first_unit=16), "first_unit"),
        (layer(layer="c3", first_unit=10, unit_count=7), "unit_count"),
        (layer(layer="c3", settings=pb.PictureSettings(steps=5000)), "settings.steps"),
        (
            layer(layer="logits", settings=pb.PictureSettings(size=20)),
            "settings.size",
        ),  # a linear layer needs 32
        (
            layer(layer="c1", settings=pb.PictureSettings(size=1024)),
            "settings.size",
        ),  # more than 40 MB
    ]

    async def scenario() -> None:
        async with studio(tmp_path, memory=40_000_000) as place:
            for request, field in refused:
                request.model = NAME
                with pytest.raises(InvalidField) as error:
                    async for _ in place.handlers.VisualizeLayer(request, CALL):
                        pass
                assert error.value.field == field

    run(scenario)


def _picture(layer: list[float]) -> Picture:
    return Picture(b"", 3.0, 1.5, 0.0, False, 1, 4, np.array(layer, np.float32), (), 1, 0, 0.05)


def test_a_neuron_is_held_against_maxima_and_a_channel_against_means() -> None:
    index = Index(2.0, peak=4.0)
    yardstick = Yardstick.find(cast(Any, index), "m", "d", "c3", None)
    assert yardstick is not None
    means, neuron = (
        yardstick.standing(path, _picture([0.0] * C3))
        for path in (LayerPath("c3", 1), LayerPath("c3", 1, (0, 0)))
    )
    assert means is not None
    assert neuron is not None
    assert (means.ratio, means.held_out_ratio) == (1.5, 0.75)
    assert (neuron.ratio, neuron.held_out_ratio) == (0.75, 0.375)
    assert index.asked == [(1, "mean"), (1, "max")]
    assert Yardstick.find(cast(Any, index), "m", "d", "c5", None) is None


def test_a_maximum_that_is_not_above_0_has_no_ratio() -> None:
    yardstick = Yardstick.find(cast(Any, Index(0.0)), "m", "d", "c3", None)
    assert yardstick is not None
    standing = yardstick.standing(LayerPath("c3", 1), _picture([1.0] * C3))
    assert standing is not None
    assert (standing.ratio, standing.relative_rank, standing.percentile) == (None, None, 0.75)


def test_relative_ranks() -> None:
    activations, bars = (
        np.array([4, 3, 2, 1, -1], np.float32),
        np.array([8, 1, 1, 0, -5], np.float32),
    )
    # Ratios 0.5, 3, 2, above any (never active on the data), below any.
    assert [relative_rank(activations, bars, unit) for unit in range(5)] == [4, 2, 3, None, None]
    assert relative_rank(np.zeros(0, np.float32), bars, 0) is None
    assert relative_rank(np.ones(2, np.float32), np.ones(2, np.float32), 0) == 2  # ties go before
