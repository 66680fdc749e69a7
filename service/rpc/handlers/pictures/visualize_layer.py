"""VisualizeLayer: every unit of a layer, streamed as it is finished, and kept."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial

from interp.layer import LayerPath
from service.auth.identity import current
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import VERSION, Context
from service.rpc.handlers.pictures.planner import PicturePlanner
from service.rpc.validation import required, within
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import units as wire_units
from service.rpc.wire.pictures import certificate as wire_certificate
from service.rpc.wire.pictures import settings as wire_settings
from service.rpc.wire.pictures import visualize as wire_visualize
from service.visualization.contact_sheet import ContactSheet
from service.visualization.layer_pictures import (
    LayerPictures,
    LayerRenderer,
    blocks,
    platform_identity,
)
from service.visualization.layer_stream import LayerStream, UnitBlock, UnitPicture
from striate.v1 import visualize_pb2 as pb


class VisualizeLayerHandler:
    """Answers VisualizeLayer.

    Args:
        zoo: the models.
        compute: the ways to the engine and the pool.
        planner: what pictures take.
        stream: reads pictures that are kept, and shares those that are being made.
    """

    def __init__(
        self, zoo: ModelZoo, compute: Compute, planner: PicturePlanner, stream: LayerStream
    ) -> None:
        self._zoo, self._compute = zoo, compute
        self._planner, self._stream = planner, stream

    async def visualize_layer(
        self, request: pb.VisualizeLayerRequest, context: Context
    ) -> AsyncIterator[pb.VisualizeLayerResponse]:
        """Stream units as they finish; a reader who leaves takes along what nobody else waits
        for.
        """
        run = self._compute.run_in_pool
        with self._zoo.use(required("model", request.model)) as model:
            layer = await self._layer(request, model)
            parts = await run(self._blocks, layer)
            sheet = None
            if request.sheet or not request.HasField("sheet"):
                sheet = await run(_sheet, layer)
            provenance, done = wire_provenance.provenance(model), 0
            response = partial(
                pb.VisualizeLayerResponse, units_total=len(layer.units), provenance=provenance
            )
            renderer = LayerRenderer(self._compute.solve_patiently, self._compute.encode)
            render = partial(renderer.render, layer)
            async with aclosing(self._stream.stream(parts, render)) as pictures:
                async for one in pictures:
                    done += 1
                    if sheet is not None:
                        await run(sheet.place, one.unit - layer.units.start, one.picture.png)
                    yield response(picture=await run(_message, layer, one), units_done=done)
            if sheet is not None:
                last = pb.ContactSheet(
                    png=await run(sheet.png),
                    columns=sheet.columns,
                    tile=sheet.tile,
                    units=layer.units,
                )
                yield response(sheet=last, units_done=done)

    async def _layer(self, request: pb.VisualizeLayerRequest, model: HostedModel) -> LayerPictures:
        """The checked request."""
        priority = wire_priority.priority(request.settings.priority)
        dataset = wire_settings.index_dataset(request.settings)
        paths = {"layer": wire_units.parse_path(request.layer, "layer", model)}
        wire_units.check_gradient(paths["layer"].layer, "layer", model)
        where = await self._planner.at_size(request.settings, model, paths)
        settings = wire_settings.read(request.settings, where.preprocessing.shape, where.input_size)
        name = where.layer("layer")
        units = wire_units.unit_count(where.shapes[name], "layer")
        first = within("first_unit", request.first_unit, 0, units - 1)
        left = units - first
        count = within("unit_count", request.unit_count, 1, left, default=left)
        rows = min(self._compute.engine.limits.chunk, units)
        memory = self._planner.bounded(rows, wire_visualize.picture_bytes(settings, rows))
        form = wire_visualize.form(request)
        maxima = await self._planner.maxima(dataset, model, [LayerPath(name, 0)])
        settings, spectrum = await self._planner.with_spectrum(settings, where.preprocessing)
        return LayerPictures(
            model=model,
            layer=name,
            form=form,
            units=range(first, first + count),
            layer_units=units,
            settings=settings,
            spectrum=spectrum,
            maxima=maxima,
            priority=priority,
            memory=memory,
        )

    def _blocks(self, layer: LayerPictures) -> list[UnitBlock]:
        """The blocks that the layer is made in, as this server makes them for its caller."""
        limits = self._compute.engine.limits
        platform = platform_identity(VERSION, layer.model.network.device, limits.threads)
        return blocks(layer, limits.chunk, platform, current.get().name)


def _message(layer: LayerPictures, one: UnitPicture) -> pb.UnitPicture:
    """A unit's picture, compared with today's indexes. Reads files."""
    path = layer.path(one.unit)
    comparison = layer.maxima.compare(path, one.picture)
    visualization = wire_certificate.visualization(str(path), one.picture, comparison)
    return pb.UnitPicture(unit=one.unit, visualization=visualization, cached=one.cached)


def _sheet(layer: LayerPictures) -> ContactSheet:
    """An empty sheet with a tile for each unit."""
    channels, height, width = layer.settings.shape
    return ContactSheet(
        len(layer.units), height, width, 4 if layer.settings.transparent else channels
    )
