"""A whole layer: deterministic whoever shares the engine, kept by content, held against today's
indexes, and gone with its reader.
"""

import asyncio
import io
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from interp.feature.settings import PictureSettings
from interp.feature.visualize import visualize
from interp.layer import LayerPath
from interp.objective import activation
from interp.probe import solve
from service.engine import submit
from service.engine.job import NotFinite
from service.index.types import IndexMissing
from service.rpc.validation import InvalidField
from striate.v1 import visualize_pb2 as pb
from tests.service.engine.toys_engine import counted
from tests.service.rpc.toys_studio import CALL, NAME, Studio, run, studio
from tests.service.visualization.toys_pictures import UNITS as C3
from tests.service.visualization.toys_pictures import ToyIndex


def indexed(place: Studio, index: ToyIndex) -> None:
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
                PictureSettings(network.shape, 4, retries=0),
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


def test_a_unit_that_is_not_finite_is_dead_and_the_others_are_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            sound = pngs(await place.layer("c3", steps=3))
        async with studio(tmp_path / "broken") as place:
            indexed(place, ToyIndex(-1e6))
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
            index = ToyIndex(2.0)
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
                indexed(place, ToyIndex(bar))
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
            layer(layer="logits", settings=pb.PictureSettings(size=40)),
            "settings.size",
        ),  # a linear layer needs 32, at which smaller pictures are shown
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
