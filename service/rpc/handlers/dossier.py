"""CompileDossier: one unit on one page."""

from typing import Any

import numpy as np
import torch
from google.protobuf.message import Message
from torch import Tensor

from interp.attack.unit_flips import ROWS, Flips, compare, under_attack
from interp.layer import LOGITS, LayerPath
from interp.network.ablation import ablation_differences, mean_effect
from interp.network.network import Network
from interp.probe import Procedure
from service.datasets import Dataset, Datasets
from service.datasets.samples import image
from service.engine.job import OutOfMemory, Priority
from service.models.zoo import HostedModel, ModelZoo
from service.report import dossier_page
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.handlers.facets import FacetFinder
from service.rpc.handlers.index_reader import IndexReader
from service.rpc.handlers.pictures import PicturePlanner
from service.rpc.handlers.tuning import measure_tuning
from service.rpc.validation import InvalidField, required, within
from service.rpc.wire import certificate as wire_certificate
from service.rpc.wire import exemplars as wire_exemplars
from service.rpc.wire import filters as wire_filters
from service.rpc.wire import images as wire_images
from service.rpc.wire import picture_settings as wire_settings
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import visualize as wire_visualize
from service.threads import in_daemon_thread
from service.visualization.encode import encode_pictures
from service.visualization.spec import Diversity, PictureRequest, unit_objective
from striate.v1 import dossier_pb2 as pb
from striate.v1 import exemplars_pb2, filters_pb2, visualize_pb2

MOST_FLIPS = 16
EPSILON = 8 / 255

Missing = list[tuple[str, str]]  # what is not on the page, and why


class DossierHandler:
    """Answers CompileDossier."""

    def __init__(
        self,
        zoo: ModelZoo,
        compute: Compute,
        datasets: Datasets,
        reader: IndexReader,
        planner: PicturePlanner,
        finder: FacetFinder,
    ) -> None:
        self._zoo, self._compute, self._datasets = zoo, compute, datasets
        self._reader, self._planner, self._finder = reader, planner, finder

    async def compile_dossier(
        self, request: pb.CompileDossierRequest, context: Context
    ) -> pb.CompileDossierResponse:
        """Check all settings first, then make one section after the other; one that cannot be made
        is left out, and the page says so.
        """
        with self._zoo.use(required("model", request.model)) as model:
            path = wire_exemplars.unit(request.unit, model)
            pictures = within("pictures", request.pictures, 1, 4, default=1)
            exemplars = within("exemplars", request.exemplars, 1, 36, default=9)
            count = within("images", request.images, 1, 512, default=64)
            epsilon = within("epsilon", request.epsilon, 1e-6, 1.0, default=EPSILON)
            steps = within("attack_steps", request.attack_steps, 1, 1000, default=10)
            name = required("dataset", request.dataset)
            dataset = await in_daemon_thread(self._datasets.get, name)
            missing = Missing()
            response = pb.CompileDossierResponse(
                unit=str(path), provenance=wire_provenance.provenance(model)
            )
            found, _ = await self._reader.exemplars(model, path, dataset, exemplars)
            response.exemplars.extend(found)
            (statistics,) = await self._reader.statistics(model, path, dataset)
            response.statistics.CopyFrom(statistics)
            response.visualizations.extend(
                await self._pictures(request, model, path, pictures, context)
            )
            await self._tuned(response, model, path, missing, context)
            if request.facets:
                await self._faceted(request, response, model, missing, context)
            x = await self._compute.run_in_pool(_spread, dataset, count, model)
            response.logit_shifts.extend(await self._shifts(x, model, path))
            response.flips.extend(await self._flips(x, model, path, epsilon, steps, context))
            settings = {
                "epsilon": epsilon,
                "attack_steps": steps,
                "images": len(x),
                "dataset": request.dataset,
            }
            response.html = await self._compute.run_in_pool(
                _page, response, model, path, settings, missing
            )
            if response.ByteSize() > wire_images.MOST_BYTES:
                raise InvalidField(
                    "exemplars",
                    "the page is more than one answer can hold; ask for fewer or for "
                    "smaller pictures",
                )
            return response

    async def _pictures(
        self,
        request: pb.CompileDossierRequest,
        model: HostedModel,
        path: LayerPath,
        count: int,
        context: Context,
    ) -> list[visualize_pb2.Visualization]:
        """Pictures of the unit from different seeds, which are pushed apart."""
        priority = wire_priority.priority(request.settings.priority)
        dataset = wire_settings.index_dataset(request.settings) or request.dataset
        where = await self._planner.at_size(request.settings, model, {"unit": path})
        settings = wire_settings.read(request.settings, where.preprocessing.shape)
        memory = self._planner.bounded(count, wire_visualize.picture_bytes(settings, count))
        diversity = Diversity(_diversity_layer(path, model.network), 1.0) if count > 1 else None
        pictures = PictureRequest(
            [unit_objective(path)] * count, settings, variants=count, diversity=diversity
        )
        self._planner.check_shared_pass(model, pictures)
        procedure, maxima = await self._planner.procedure(pictures, where, dataset)
        result = await self._compute.solve(
            context, model, procedure, memory, priority, deterministic=True
        )

        def messages() -> list[visualize_pb2.Visualization]:
            return [
                wire_certificate.visualization(
                    str(path), picture, maxima.compare(path, picture), variant
                )
                for variant, picture in enumerate(encode_pictures(result))
            ]

        return await self._compute.run_in_pool(messages)

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
        layer = wire_filters.map_layer(path.layer, model)
        gratings = wire_filters.gratings(filters_pb2.MeasureTuningRequest(), layer, model)
        tuning = await measure_tuning(
            self._compute, context, model, layer, gratings, Priority.INTERACTIVE
        )
        response.tuning.CopyFrom(wire_filters.unit_tunings(tuning)[path.unit or 0])

    async def _faceted(
        self,
        request: pb.CompileDossierRequest,
        response: pb.CompileDossierResponse,
        model: HostedModel,
        missing: Missing,
        context: Context,
    ) -> None:
        wanted = visualize_pb2.FindFacetsRequest(
            settings=request.settings, unit=request.unit, dataset=request.dataset
        )
        try:
            found = await self._finder.find(wanted, model, context)
            response.facets.extend(found.facets)
        except InvalidField as error:
            missing.append(("Facets", error.description))

    async def _shifts(self, x: Tensor, model: HostedModel, path: LayerPath) -> list[pb.LogitShift]:
        network, unit = model.network, path.unit or 0
        rows = max(
            1, min(ROWS, self._compute.engine.limits.memory // 2 // max(1, model.bytes_per_row))
        )
        parts = []
        for low in range(0, len(x), rows):
            part = x[low : low + rows]
            try:
                parts.append(
                    await self._compute.run_on_device(
                        lambda part=part: ablation_differences(
                            network, part, path.layer, unit
                        ).cpu()  # type: ignore[misc]
                    )
                )
            except torch.OutOfMemoryError as error:
                raise OutOfMemory(
                    f"a pass of {len(part)} images does not fit into the device's memory"
                ) from error
        found = mean_effect(torch.cat(parts))
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
        found = await self._compute.solve(
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


def _diversity_layer(path: LayerPath, network: Network) -> str:
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
