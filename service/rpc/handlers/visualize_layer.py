"""VisualizeLayer: every unit of a layer, streamed as it is finished, and kept."""

import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import torch

from interp.feature.visualize import Settings
from interp.layer import LayerPath
from service.engine.job import NotFinite, Priority
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import VERSION, Context
from service.rpc.handlers.pictures import PicturePlanner, Spectral, Yardsticks
from service.rpc.validation import required, within
from service.rpc.wire import certificate as wire_certificate
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import units as wire_units
from service.rpc.wire import visualize as wire_visualize
from service.visualization import build as pictures
from service.visualization.cache import Picture, key
from service.visualization.contact_sheet import ContactSheet
from service.visualization.layer_stream import Block, Gallery, Shown
from service.visualization.spec import Goal, Recipe, Term
from striate.v1 import visualize_pb2 as pb


@dataclass(frozen=True, eq=False)
class Series:
    """A checked request: which units of which layer, and how their pictures are made."""

    model: HostedModel
    layer: str
    units: range
    in_layer: int
    recipe: Recipe
    spectral: Spectral
    yardsticks: Yardsticks
    urgency: Priority
    memory: int  # bytes that a block holds between passes

    def path(self, unit: int) -> LayerPath:
        """The unit of that number."""
        return LayerPath(self.layer, unit)

    def bars(self, units: range) -> list[float]:
        """What each of these units is to reach, NaN where that is unknown or nothing is tried again
        anyway.
        """
        return [
            self.yardsticks.bar(self.path(unit)) if self.recipe.retries else math.nan
            for unit in units
        ]

    def message(self, shown: Shown) -> pb.UnitPicture:
        """A unit's picture; its standing is that beside today's indexes. Reads files."""
        path = self.path(shown.unit)
        drawn = wire_certificate.visualization(
            str(path), shown.picture, self.yardsticks.standing(path, shown.picture)
        )
        return pb.UnitPicture(unit=shown.unit, visualization=drawn, cached=shown.cached)


class VisualizeLayerHandler:
    """Answers VisualizeLayer."""

    def __init__(
        self, zoo: ModelZoo, compute: Compute, planner: PicturePlanner, gallery: Gallery
    ) -> None:
        self._zoo, self._compute = zoo, compute
        self._planner, self._gallery = planner, gallery

    async def visualize_layer(
        self, request: pb.VisualizeLayerRequest, context: Context
    ) -> AsyncIterator[pb.VisualizeLayerResponse]:
        """Streams units as they finish; a reader who leaves takes along what nobody else
        waits for.
        """
        with self._zoo.use(required("model", request.model)) as model:
            series = await self._series(request, model)
            blocks = await self._compute.run_in_pool(self._blocks, series)
            sheet = (
                await self._compute.run_in_pool(_sheet, series)
                if request.sheet or not request.HasField("sheet")
                else None
            )
            provenance, total, done = wire_provenance.provenance(model), len(series.units), 0
            async with aclosing(self._gallery.show(blocks, partial(self._make, series))) as gallery:
                async for shown in gallery:
                    done += 1
                    if sheet is not None:
                        await self._compute.run_in_pool(
                            sheet.place, shown.unit - series.units.start, shown.picture.png
                        )
                    picture = await self._compute.run_in_pool(series.message, shown)
                    yield pb.VisualizeLayerResponse(
                        picture=picture, units_done=done, units_total=total, provenance=provenance
                    )
            if sheet is not None:
                png = await self._compute.run_in_pool(sheet.png)
                last = pb.ContactSheet(
                    png=png, columns=sheet.columns, tile=sheet.tile, units=series.units
                )
                yield pb.VisualizeLayerResponse(
                    sheet=last, units_done=done, units_total=total, provenance=provenance
                )

    async def _series(self, request: pb.VisualizeLayerRequest, model: HostedModel) -> Series:
        settings = request.settings
        urgency = wire_priority.priority(settings.priority)
        layer = wire_units.read_layer(request.layer, "layer", model)
        where = await self._planner.shapes(settings, model, {layer})
        recipe = wire_visualize.recipe(settings, where.preprocessing.shape)
        in_layer = wire_units.unit_count(where.shapes[layer], "layer")
        first = within("first_unit", request.first_unit, 0, in_layer - 1)
        count = within(
            "unit_count", request.unit_count, 1, in_layer - first, default=in_layer - first
        )
        size = min(self._compute.engine.limits.chunk, in_layer)
        memory = self._planner.bounded(
            "settings.size", size, wire_visualize.held_bytes(recipe, size)
        )
        yardsticks = await self._planner.yardsticks(recipe, model, [LayerPath(layer, 0)])
        spectral = await self._planner.spectrum(recipe, where)
        return Series(
            model,
            layer,
            range(first, first + count),
            in_layer,
            recipe,
            spectral,
            yardsticks,
            urgency,
            memory,
        )

    def _blocks(self, series: Series) -> list[Block]:
        """The series in blocks of one deterministic pass, which begin at the same units whichever
        are asked for.

        All that a picture hangs on is in its key, also what its neighbours are to reach: which of
        them are tried again decides what a second pass is made of.
        """
        chunk, blocks = self._compute.engine.limits.chunk, []
        default = repr(Settings.transform)
        same = [
            self._machine(series.model.network.device),
            chunk,
            series.model.digest,
            series.layer,
            series.recipe.content,
            default,
            series.spectral.identity,
        ]
        for low in range(series.units.start // chunk * chunk, series.units.stop, chunk):
            units = range(low, min(low + chunk, series.in_layer))
            bars = [None if math.isnan(bar) else bar for bar in series.bars(units)]
            block = key(*same, [units.start, units.stop], bars)
            keys = {unit: key(block, unit) for unit in units}
            blocks.append(Block(units, keys, [unit for unit in units if unit in series.units]))
        return blocks

    def _machine(self, device: torch.device) -> list[str | int]:
        """What the last bits of a pass hang on beside its numbers."""
        if device.type == "cuda":
            return [VERSION, torch.__version__, torch.cuda.get_device_name(device)]
        threads = self._compute.engine.limits.threads or torch.get_num_threads()
        return [
            VERSION,
            torch.__version__,
            device.type,
            torch.backends.cpu.get_cpu_capability(),
            threads,
        ]

    async def _make(self, series: Series, units: range) -> dict[int, Picture]:
        """The pictures of a block's units, whoever waits for them: it has no deadline of a
        caller's.

        Of a block that has values which are not finite, every unit is made alone, to find those
        that are to blame.
        """
        try:
            return await self._together(series, units)
        except NotFinite:
            if len(units) == 1:
                return {
                    units.start: await self._compute.run_in_pool(pictures.broken, series.recipe)
                }
            alone = [await self._make(series, range(unit, unit + 1)) for unit in units]
            return {unit: picture for one in alone for unit, picture in one.items()}

    async def _together(self, series: Series, units: range) -> dict[int, Picture]:
        procedure = pictures.picture(
            [Goal((Term(series.path(unit)),)) for unit in units],
            series.recipe,
            series.model.network,
            rows=[(series.recipe.seed, unit) for unit in units],
            bars=series.bars(units),
            magnitude=series.spectral.magnitude,
        )
        # A whole layer gives way to those who cannot wait.
        found = await self._compute.solve_patiently(
            series.model, procedure, series.memory, series.urgency, deterministic=True
        )
        drawn = await self._compute.run_in_pool(pictures.drawn, found)
        return dict(zip(units, drawn, strict=True))


def _sheet(series: Series) -> ContactSheet:
    _, height, width = series.recipe.shape
    return ContactSheet(len(series.units), height, width, series.recipe.channels)
