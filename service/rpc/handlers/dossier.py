"""CompileDossier: one unit on one page."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from google.protobuf.message import Message
from torch import Tensor

from interp.attack.unit_flips import ROWS, Flips, compare, under_attack
from interp.layer import LOGITS, LayerPath
from interp.network.ablation import falls, summary
from interp.network.network import Network
from interp.probe import Procedure
from service.datasets import Dataset
from service.datasets.samples import image
from service.engine.job import OutOfMemory
from service.models.zoo import HostedModel
from service.report import dossier_page
from service.rpc.handlers.exemplars import ExemplarHandlers
from service.rpc.handlers.facets import FacetHandlers
from service.rpc.handlers.tuning import TuningHandlers
from service.rpc.handlers.visualize import VisualizeHandlers
from service.rpc.interceptor import Context
from service.rpc.validation import InvalidField, required, within
from service.rpc.wire import exemplars as wire_exemplars
from service.rpc.wire import images as wire_images
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import visualize as wire_visualize
from striate.v1 import dossier_pb2 as pb
from striate.v1 import exemplars_pb2, filters_pb2, visualize_pb2

MOST_FLIPS = 16
EPSILON = 8 / 255

Missing = list[tuple[str, str]]  # what is not on the page, and why


class DossierHandlers(VisualizeHandlers, FacetHandlers, ExemplarHandlers, TuningHandlers):
    """CompileDossier, which asks the other methods for their parts."""

    async def CompileDossier(
        self, request: pb.CompileDossierRequest, context: Context
    ) -> pb.CompileDossierResponse:
        """Checks all settings first, then makes part by part; one that cannot be made is left out,
        and the page says so.
        """
        with self._house.model(required("settings.model", request.settings.model)) as model:
            wire_visualize.manner_alone(request.settings, "settings.")
            path = wire_exemplars.unit(request.unit, model)
            pictures = within("pictures", request.pictures, 1, 4, default=1)
            exemplars = within("exemplars", request.exemplars, 1, 36, default=9)
            count = within("images", request.images, 1, 512, default=64)
            epsilon = within("epsilon", request.epsilon, 1e-6, 1.0, default=EPSILON)
            steps = within("attack_steps", request.attack_steps, 1, 1000, default=10)
            response, missing = (
                pb.CompileDossierResponse(
                    unit=str(path), provenance=wire_provenance.provenance(model)
                ),
                Missing(),
            )
            dataset = await self._opened(required("dataset", request.dataset))
            await self._indexed(request, response, exemplars, context)
            response.visualizations.extend(
                await self._pictures(request, model, path, pictures, context)
            )
            await self._tuned(response, model, path, missing, context)
            if request.facets:
                await self._faceted(request, response, missing, context)
            x = await self._house.aside(_spread, dataset, count, model)
            response.logit_shifts.extend(await self._shifts(x, model, path))
            response.flips.extend(await self._flips(x, model, path, epsilon, steps, context))
            settings = {
                "epsilon": epsilon,
                "attack_steps": steps,
                "images": len(x),
                "dataset": request.dataset,
            }
            response.html = await self._house.aside(_page, response, model, path, settings, missing)
            if response.ByteSize() > wire_images.MOST_BYTES:
                raise InvalidField(
                    "exemplars",
                    "the page is more than one answer can hold; ask for fewer or for "
                    "smaller pictures",
                )
            return response

    async def _indexed(
        self,
        request: pb.CompileDossierRequest,
        response: pb.CompileDossierResponse,
        k: int,
        context: Context,
    ) -> None:
        """What the index of the data set knows. Raises IndexMissing."""
        model, unit, dataset = request.settings.model, request.unit, request.dataset
        found = await self.FindExemplars(
            exemplars_pb2.FindExemplarsRequest(model=model, unit=unit, dataset=dataset, k=k),
            context,
        )
        response.exemplars.extend(found.exemplars)
        known = await self.GetUnitStatistics(
            exemplars_pb2.GetUnitStatisticsRequest(model=model, unit=unit, dataset=dataset), context
        )
        response.statistics.CopyFrom(known.units[0])

    async def _pictures(
        self,
        request: pb.CompileDossierRequest,
        model: HostedModel,
        path: LayerPath,
        pictures: int,
        context: Context,
    ) -> Sequence[visualize_pb2.Visualization]:
        wanted = visualize_pb2.VisualizeRequest()
        wanted.CopyFrom(request.settings)
        wanted.objectives.append(str(path))
        wanted.variants = pictures
        if not wanted.certification.dataset:
            wanted.certification.dataset = request.dataset
        if pictures > 1:
            wanted.diversity.layer = _apart(path, model.network)
        try:
            async for event in self.Visualize(wanted, context):
                if event.HasField("result"):
                    return event.result.visualizations
        except InvalidField as error:
            raise InvalidField(f"settings.{error.field}", error.description) from error
        raise AssertionError("a visualization ends with its result")

    async def _tuned(
        self,
        response: pb.CompileDossierResponse,
        model: HostedModel,
        path: LayerPath,
        missing: Missing,
        context: Context,
    ) -> None:
        if len(model.network.output_shapes[path.layer]) != 3:
            missing.append(("Tuning to gratings", f"{path.layer} has no rows and columns"))
            return
        found = await self.MeasureTuning(
            filters_pb2.MeasureTuningRequest(model=model.name, layer=path.layer), context
        )
        response.tuning.CopyFrom(found.units[path.unit or 0])

    async def _faceted(
        self,
        request: pb.CompileDossierRequest,
        response: pb.CompileDossierResponse,
        missing: Missing,
        context: Context,
    ) -> None:
        wanted = visualize_pb2.FindFacetsRequest(
            settings=request.settings, unit=request.unit, dataset=request.dataset
        )
        try:
            response.facets.extend((await self.FindFacets(wanted, context)).facets)
        except InvalidField as error:
            missing.append(("Facets", error.description))

    async def _shifts(self, x: Tensor, model: HostedModel, path: LayerPath) -> list[pb.LogitShift]:
        network, unit = model.network, path.unit or 0
        rows = max(
            1, min(ROWS, self._house.engine.limits.memory // 2 // max(1, model.bytes_per_row))
        )
        parts = []
        for low in range(0, len(x), rows):
            part = x[low : low + rows]
            try:
                parts.append(
                    await self._house.on_device(
                        lambda part=part: falls(network, part, path.layer, unit).cpu()  # type: ignore[misc]
                    )
                )
            except torch.OutOfMemoryError as error:
                raise OutOfMemory(
                    f"a pass of {len(part)} images does not fit into the device's memory"
                ) from error
        found = summary(torch.cat(parts))
        means, errors = found.mean.tolist(), found.standard_error.tolist()
        order = sorted(range(len(means)), key=lambda index: (-means[index], index))
        return [
            pb.LogitShift(index=i, label=model.classes[i], mean=means[i], standard_error=errors[i])
            for i in order
        ]

    async def _flips(
        self,
        x: Tensor,
        model: HostedModel,
        path: LayerPath,
        epsilon: float,
        steps: int,
        context: Context,
    ) -> list[pb.UnitFlip]:
        memory = x.nbytes + wire_images.image_bytes(ROWS, model, wire_images.STATE_COPIES)
        procedure = _attacked(x, model.network, path.layer, epsilon, steps)
        found = await self._house.solve(
            context, model, procedure, memory, wire_priority.priority(0)
        )
        ranks = {unit: rank for rank, unit in enumerate(found.order, start=1)}
        shown = [
            *found.order[:MOST_FLIPS],
            *([path.unit or 0] if ranks[path.unit or 0] > MOST_FLIPS else []),
        ]
        return [
            pb.UnitFlip(
                unit=u, share=found.share[u].item(), shift=found.shift[u].item(), rank=ranks[u]
            )
            for u in shown
        ]


def _attacked(
    x: Tensor, network: Network, layer: str, epsilon: float, steps: int
) -> Procedure[Flips]:
    clean, attacked = yield from under_attack(
        x.to(network.device, network.dtype), layer, epsilon, steps
    )
    return compare(clean.cpu(), attacked.cpu())


def _apart(path: LayerPath, network: Network) -> str:
    """The layer in which several pictures of a unit are to differ: its own, or the last before it
    that has rows and columns.
    """
    shapes = network.output_shapes
    before = (
        network.layers
        if path.layer == LOGITS
        else network.layers[: network.layers.index(path.layer) + 1]
    )
    return next((name for name in reversed(before) if len(shapes[name]) == 3), path.layer)


def _spread(dataset: Dataset, count: int, model: HostedModel) -> Tensor:
    """(N, C, H, W) float32: so many images of a data set, evenly spread, or all. Reads and
    decodes.
    """
    count = min(count, len(dataset))
    pixels = np.stack(
        [
            image(dataset, place * len(dataset) // count, model.preprocessing)
            for place in range(count)
        ]
    )
    return torch.from_numpy(pixels).float() / 255


def _page(
    response: pb.CompileDossierResponse,
    model: HostedModel,
    path: LayerPath,
    settings: dict[str, Any],
    missing: Missing,
) -> bytes:
    """Draws the page: for the pool."""
    info = next((layer for layer in model.layers if layer.name == path.layer), None)
    shape = model.network.output_shapes[path.layer]
    facts = {
        "unit": response.unit,
        "this_unit": path.unit,
        "model": model.name,
        "layer_type": info.type if info else "layer of logits",
        "layer_units": shape[0],
        "provenance": _plain(response.provenance),
        "visualizations": [_visualization(one) for one in response.visualizations],
        "exemplars": [_exemplar(one, len(shape) == 3) for one in response.exemplars],
        "facets": [
            {"png": one.visualization.png, "share": one.share, "crops": list(one.crops)}
            for one in response.facets
        ],
        "statistics": _plain(response.statistics) | {"images": sum(response.statistics.histogram)},
        "tuning": _plain(response.tuning) if response.HasField("tuning") else None,
        "shifts": [_plain(one) for one in response.logit_shifts],
        "flips": [_plain(one) for one in response.flips],
        "missing": missing,
        **settings,
    }
    return dossier_page(facts).encode()


def _visualization(message: visualize_pb2.Visualization) -> dict[str, Any]:
    made = message.certificate
    return {
        "png": message.png,
        "dead": message.dead,
        "activation": message.activation,
        "held_out": made.held_out,
        "units": made.units,
        "dataset": made.dataset,
        **{
            name: getattr(made, name) if made.HasField(name) else None for name in ("ratio", "rank")
        },
    }


def _exemplar(message: exemplars_pb2.Exemplar, placed: bool) -> dict[str, Any]:
    fields = {
        name: getattr(message, name)
        for name in ("image_png", "crop_png", "activation", "name", "label_name")
    }
    return {**fields, "where": f"row {message.row}, column {message.column}" if placed else ""}


def _plain(message: Message) -> dict[str, Any]:
    """The fields of a message without messages inside, unset ones too."""
    values = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
    return {
        name: value if isinstance(value, str | int | float) else list(value)
        for name, value in values.items()
    }
