"""CompileDossier: one unit on one page."""

import torch
from torch import Tensor

from interp.attack.unit_flips import ROWS, UnitFlips, activations_under_attack, unit_flips
from interp.exemplars import order_of
from interp.layer import LOGITS, LayerPath, quoted
from interp.network.ablation import AblationEffect, ablation_differences, mean_effect
from interp.network.network import Network
from interp.probe import Procedure
from service.datasets import Dataset, DatasetError, Datasets
from service.datasets.samples import images
from service.engine.job import OutOfMemory, Priority
from service.imaging import Preprocessing
from service.models.zoo import HostedModel, ModelZoo
from service.report import dossier_page
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.handlers.index_reader import IndexReader
from service.rpc.handlers.pictures.facet_finder import FacetFinder
from service.rpc.handlers.pictures.planner import PicturePlanner
from service.rpc.handlers.tuning import measure_tuning
from service.rpc.validation import InvalidField, required
from service.rpc.wire import filters as wire_filters
from service.rpc.wire import images as wire_images
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire.pictures import certificate as wire_certificate
from service.rpc.wire.pictures import dossier as wire_dossier
from service.rpc.wire.pictures import settings as wire_settings
from service.rpc.wire.pictures import visualize as wire_visualize
from service.rpc.wire.pictures.dossier import DossierSpec
from service.threads import in_daemon_thread
from service.visualization.encode import encode_pictures
from service.visualization.spec import Diversity, PictureRequest, unit_objective
from striate.v1 import dossier_pb2 as pb
from striate.v1 import filters_pb2, visualize_pb2


class DossierHandler:
    """Answers CompileDossier.

    Args:
        zoo: the models.
        compute: the ways to the engine and the pool.
        datasets: where images are read.
        reader: of exemplars and statistics.
        planner: what pictures take.
        finder: of facets.
    """

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
            spec = wire_dossier.read(request, model)
            dataset = await in_daemon_thread(self._datasets.get, spec.dataset)
            response = pb.CompileDossierResponse(
                unit=str(spec.path), provenance=wire_provenance.provenance(model)
            )
            spec.left_out.update(await self._reader.left_out(model, spec.path, dataset))
            dataset = dataset.skipping_bad(spec.left_out["count"] > 0)
            await self._add_index(response, spec, model, dataset)
            pictures = await self._pictures(request.settings, spec, model, context)
            response.visualizations.extend(pictures)
            await self._add_tuning(response, spec, model, context)
            if request.facets:
                await self._add_facets(response, spec, model, request.settings, context)
            x = await self._compute.run_long_in_pool(
                _spread_images, dataset, spec.images, model.preprocessing
            )
            effect = await self._ablation(x, model, spec.path)
            response.logit_shifts.extend(wire_dossier.logit_shifts(effect, model))
            flips = await self._flips(x, spec, model, context)
            response.flips.extend(wire_dossier.unit_flips(flips, spec.unit))
            facts = wire_dossier.page_facts(response, spec, len(x), model)
            page = await self._compute.encode(dossier_page, facts)
            response.html = page.encode()
        if response.ByteSize() > wire_images.MOST_BYTES:
            raise InvalidField(
                "exemplars",
                "the page is more than one answer can hold; ask for fewer or for smaller pictures",
            )
        return response

    async def _add_index(
        self,
        response: pb.CompileDossierResponse,
        spec: DossierSpec,
        model: HostedModel,
        dataset: Dataset,
    ) -> None:
        """Exemplars and statistics, by the data set's index: by the maximum, and by the mean that
        the pictures maximize where that is another thing; of minus the unit or its magnitude
        likewise.
        """
        path, k = spec.path, spec.exemplars
        by_maximum, by_mean_order = order_of(path.form, "max"), order_of(path.form, "mean")
        read = await self._reader.exemplars(model, path, dataset, k, by_maximum)
        response.exemplars.extend(read.messages)
        left_out = set(read.left_out)
        if len(model.network.output_shapes[path.layer]) == 3:
            read = await self._reader.exemplars(model, path, dataset, k, by_mean_order)
            response.exemplars_by_mean.extend(read.messages)
            left_out |= set(read.left_out)
        spec.missing.extend(
            (f"Exemplar {one.id}, {one.name}", one.reason)
            for one in sorted(left_out, key=lambda one: one.id)
        )
        (statistics,) = await self._reader.statistics(model, spec.path, dataset)
        response.statistics.CopyFrom(statistics)

    async def _pictures(
        self,
        message: visualize_pb2.PictureSettings,
        spec: DossierSpec,
        model: HostedModel,
        context: Context,
    ) -> list[visualize_pb2.Visualization]:
        """Pictures of the unit from different seeds, which are pushed apart."""
        path, count = spec.path, spec.pictures
        priority = wire_priority.priority(message.priority)
        dataset = wire_settings.index_dataset(message) or spec.dataset
        where = await self._planner.at_size(message, model, {"unit": path})
        settings = wire_settings.read(message, where.preprocessing.shape, where.input_size)
        memory = self._planner.bounded(count, wire_visualize.picture_bytes(settings, count))
        diversity = Diversity(_diversity_layer(path, model.network), 1.0) if count > 1 else None
        request = PictureRequest(
            [unit_objective(path)] * count, settings, variants=count, diversity=diversity
        )
        self._planner.check_shared_pass(model, request)
        procedure, maxima = await self._planner.procedure(request, where, dataset)
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

    async def _add_tuning(
        self,
        response: pb.CompileDossierResponse,
        spec: DossierSpec,
        model: HostedModel,
        context: Context,
    ) -> None:
        """The unit's answers to gratings; left out for layers without rows and columns."""
        name = spec.path.layer
        if len(model.network.output_shapes[name]) != 3:
            spec.missing.append(("Tuning to gratings", f"{name} has no rows and columns"))
            return
        layer = wire_filters.map_layer(quoted(name), model)
        gratings = wire_filters.gratings(filters_pb2.MeasureTuningRequest(), layer, model)
        tuning = await measure_tuning(
            self._compute, context, model, layer, gratings, Priority.INTERACTIVE
        )
        response.tuning.CopyFrom(wire_filters.unit_tunings(tuning)[spec.unit])

    async def _add_facets(
        self,
        response: pb.CompileDossierResponse,
        spec: DossierSpec,
        model: HostedModel,
        settings: visualize_pb2.PictureSettings,
        context: Context,
    ) -> None:
        """The unit's facets; left out where there are too few exemplars, or the settings do not go
        with facets.
        """
        request = visualize_pb2.FindFacetsRequest(
            settings=settings, unit=str(spec.path), dataset=spec.dataset
        )
        try:
            found = await self._finder.find(request, model, context)
            response.facets.extend(found.facets)
        except InvalidField as error:
            spec.missing.append(("Facets", error.description))

    async def _ablation(self, x: Tensor, model: HostedModel, path: LayerPath) -> AblationEffect:
        """What the logits of images (N, C, H, W) lose with the unit."""
        network, unit = model.network, path.unit or 0
        fitting = self._compute.engine.limits.memory // 2 // max(1, model.bytes_per_row)
        rows, parts = max(1, min(ROWS, fitting)), []
        for low in range(0, len(x), rows):
            batch = x[low : low + rows]

            def differences(batch: Tensor = batch) -> Tensor:
                return ablation_differences(network, batch, path.layer, unit).cpu()

            try:
                parts.append(await self._compute.run_on_device(differences))
            except torch.OutOfMemoryError as error:
                raise OutOfMemory(
                    f"a pass of {len(batch)} images does not fit into the device's memory"
                ) from error
        return mean_effect(torch.cat(parts))

    async def _flips(
        self, x: Tensor, spec: DossierSpec, model: HostedModel, context: Context
    ) -> UnitFlips:
        """How PGD on images (N, C, H, W) changes the units of the layer."""
        memory = x.nbytes + wire_images.image_bytes(ROWS, model, wire_images.STATE_COPIES)
        procedure = _attacked(x, model.network, spec)
        return await self._compute.solve(context, model, procedure, memory, Priority.INTERACTIVE)


def _attacked(x: Tensor, network: Network, spec: DossierSpec) -> Procedure[UnitFlips]:
    """How PGD changes the units of the layer, compared on the host."""
    clean, attacked = yield from activations_under_attack(
        x.to(network.device, network.dtype), spec.path.layer, spec.epsilon, spec.attack_steps
    )
    return unit_flips(clean.cpu(), attacked.cpu())


def _diversity_layer(path: LayerPath, network: Network) -> str:
    """The layer in which several pictures of a unit are to differ: its own, or the last before it
    that has rows and columns.
    """
    layers, shapes = network.layers, network.output_shapes
    before = layers if path.layer == LOGITS else layers[: layers.index(path.layer) + 1]
    maps = (n for n in reversed(before) if len(shapes[n]) == 3 and n not in network.unavailable)
    return next(maps, path.layer)


def _spread_images(dataset: Dataset, count: int, preprocessing: Preprocessing) -> Tensor:
    """(N, C, H, W) float32: so many images of a data set, evenly spread, or all. Reads and
    decodes.
    """
    number = min(count, len(dataset))
    numbers = [place * len(dataset) // number for place in range(number)]
    pixels = images(dataset, numbers, preprocessing)
    if not len(pixels):
        raise DatasetError(f"no image of data set {dataset.name!r} can be used")
    return torch.from_numpy(pixels).float() / 255
