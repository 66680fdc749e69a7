"""Finds the different things that one unit sees, for FindFacets and for dossiers."""

from collections.abc import Sequence
from dataclasses import dataclass

from interp.exemplars import order_of
from interp.feature.facets import MAX_FACETS, Clustering, cluster
from interp.feature.settings import PictureSettings
from interp.layer import LayerPath, quoted
from service.datasets import Datasets
from service.engine.job import Priority
from service.imaging import png
from service.index.store import IndexStore
from service.index.types import Hit, Subject
from service.models.zoo import HostedModel
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.handlers.pictures.planner import PicturePlanner
from service.rpc.validation import InvalidField, required, within
from service.rpc.wire import exemplars as wire_exemplars
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import units as wire_units
from service.rpc.wire.pictures import certificate as wire_certificate
from service.rpc.wire.pictures import settings as wire_settings
from service.rpc.wire.pictures import visualize as wire_visualize
from service.rpc.wire.pictures.model_at_size import ModelAtSize
from service.threads import in_daemon_thread
from service.visualization.cache import Picture
from service.visualization.comparison import DatasetMaxima
from service.visualization.encode import encode_pictures
from service.visualization.facets import (
    ExemplarCrops,
    candidate_layers,
    features,
    first_different_layer,
    mean_crops,
    read_exemplars,
)
from service.visualization.spec import PictureRequest, unit_objective
from striate.v1 import visualize_pb2 as pb

MOST_EXEMPLARS = 100
MOST_CROPS = 4  # of a facet that are returned


@dataclass(frozen=True, eq=False)
class FacetRequest:
    """A checked request.

    Attributes:
        where: the model, for pictures of the size that is asked for.
        path: the unit.
        settings: how pictures are made.
        dataset: with whose index pictures are compared.
        exemplars: what the unit is most active on.
        facets: how many; 0 for as many as there seem to be.
        priority: of all jobs.
        memory: bytes that the making of the pictures holds.
    """

    where: ModelAtSize
    path: LayerPath
    settings: PictureSettings
    dataset: str
    exemplars: ExemplarCrops
    facets: int
    priority: Priority
    memory: int

    @property
    def model(self) -> HostedModel:
        """Whose unit it is."""
        return self.where.model


class FacetFinder:
    """Reads a unit's exemplars, clusters them in the pool, and makes all pictures in one batch.

    Args:
        compute: the ways to the engine and the pool.
        datasets: where exemplars are read.
        index: where exemplars are found.
        planner: what pictures take.
    """

    def __init__(
        self, compute: Compute, datasets: Datasets, index: IndexStore, planner: PicturePlanner
    ) -> None:
        self._compute, self._datasets = compute, datasets
        self._index, self._planner = index, planner

    async def find(
        self, request: pb.FindFacetsRequest, model: HostedModel, context: Context
    ) -> pb.FindFacetsResponse:
        """Find the facets of a unit.

        Args:
            request: whose `model` is not read.
            model: it cannot be unloaded meanwhile.
            context: of the call.

        Returns:
            The answer.

        Raises:
            InvalidField: Something is out of range, or there are too few exemplars.
            IndexMissing: The data set has no index of the unit's layer.
        """
        checked = await self._checked(request, model)
        by_layer = await self._by_layer(request.by_layer, checked, context)
        clustering = await self._clustering(checked, by_layer, context)
        pictures, maxima = await self._pictures(checked, clustering, context)
        facets = await self._compute.run_in_pool(_facets, checked, clustering, pictures, maxima)
        return pb.FindFacetsResponse(
            facets=facets,
            by_layer=quoted(by_layer),
            silhouette=clustering.silhouette,
            provenance=wire_provenance.provenance(model),
        )

    async def _checked(self, request: pb.FindFacetsRequest, model: HostedModel) -> FacetRequest:
        """The checked request, with its exemplars."""
        priority = wire_priority.priority(request.settings.priority)
        path = wire_units.read_unit(request.unit, "unit", model, positions=False, forms=True)
        wire_units.check_gradient(path.layer, "unit", model)
        facets = within("facets", request.facets, 0, MAX_FACETS)
        k = within("exemplars", request.exemplars, 2, MOST_EXEMPLARS, default=MOST_EXEMPLARS)
        where = await self._planner.at_size(request.settings, model, {"unit": path})
        settings = wire_settings.read(request.settings, where.preprocessing.shape, where.input_size)
        if not settings.parameterization.encodes:
            raise InvalidField(
                "settings.parameterization",
                f"{settings.parameterization.name} cannot begin at an image, as facets do",
            )
        held = wire_visualize.picture_bytes(settings, MAX_FACETS)
        memory = self._planner.bounded(MAX_FACETS, held)
        compared = wire_settings.index_dataset(request.settings) or request.dataset
        dataset = await in_daemon_thread(self._datasets.get, required("dataset", request.dataset))
        subject = Subject.of(model.name, model.digest, dataset)
        hits = await self._compute.run_in_pool(self._hits, request, subject, path, k)
        exemplars = await self._compute.run_long_in_pool(
            read_exemplars,
            dataset,
            [hit.id for hit in hits],
            [wire_exemplars.crop_box(hit, path, False, model) for hit in hits],
            model.preprocessing,
        )
        return FacetRequest(where, path, settings, compared, exemplars, facets, priority, memory)

    def _hits(
        self, request: pb.FindFacetsRequest, subject: Subject, path: LayerPath, k: int
    ) -> list[Hit]:
        """What the index says the unit is most active on. Reads files."""
        assert path.unit is not None
        hits = self._index.find(subject, path.layer, path.unit, k, order_of(path.form, "max")).hits
        if len(hits) < max(2, request.exemplars):
            raise InvalidField(
                "exemplars",
                f"the index keeps {len(hits)} images of a unit: ask for fewer, or build it "
                f"with a larger k",
            )
        if len(hits) < request.facets:
            raise InvalidField(
                "facets",
                f"is {request.facets}, must be at most the number of exemplars, {len(hits)}",
            )
        return hits

    async def _by_layer(self, text: str, checked: FacetRequest, context: Context) -> str:
        """The layer that the request names, or the one before the unit's."""
        if text:
            return wire_units.read_layer(text, "by_layer", checked.model)
        network, layer = checked.model.network, checked.path.layer
        with_units = [name for name in network.layers if name not in network.unavailable]
        names = candidate_layers(layer, with_units, network.output_shapes)
        found = None
        if names:
            procedure = first_different_layer(checked.exemplars.images[:1], layer, names)
            found = await self._compute.solve(
                context, checked.model, procedure, 0, checked.priority
            )
        if found is None:
            raise InvalidField("by_layer", f"is required: no other layer comes before {layer}")
        return found

    async def _clustering(
        self, checked: FacetRequest, by_layer: str, context: Context
    ) -> Clustering:
        """The facets of the exemplars, by what a layer makes of them."""
        infos = {info.name: info.receptive_field for info in checked.model.layers}
        procedure = features(checked.exemplars, by_layer, infos.get(by_layer))
        points = await self._compute.solve(
            context,
            checked.model,
            procedure,
            checked.exemplars.images.nbytes,
            checked.priority,
            deterministic=True,
        )
        try:
            return await self._compute.run_long_in_pool(cluster, points, checked.facets)
        except ValueError as error:
            raise InvalidField("facets", str(error)) from error

    async def _pictures(
        self, checked: FacetRequest, clustering: Clustering, context: Context
    ) -> tuple[list[Picture], DatasetMaxima]:
        """One picture a facet, which starts at the mean of its crops."""
        init_images = await self._compute.run_long_in_pool(
            mean_crops, checked.exemplars, clustering.labels.tolist(), checked.settings.shape[1:]
        )
        objectives = [unit_objective(checked.path)] * clustering.number
        request = PictureRequest(objectives, checked.settings, init_images=init_images)
        procedure, maxima = await self._planner.procedure(request, checked.where, checked.dataset)
        result = await self._compute.solve(
            context,
            checked.model,
            procedure,
            checked.memory,
            checked.priority,
            deterministic=True,
        )
        return await self._compute.encode(encode_pictures, result), maxima


def _facets(
    checked: FacetRequest,
    clustering: Clustering,
    pictures: Sequence[Picture],
    maxima: DatasetMaxima,
) -> list[pb.Facet]:
    """Facets as messages. Encodes crops and reads indexes: not for the event loop."""
    ids, crops, facets = checked.exemplars.ids, list(checked.exemplars.crops()), []
    for facet, picture in enumerate(pictures):
        (members,) = (clustering.labels == facet).nonzero()
        comparison = maxima.compare(checked.path, picture)
        facets.append(
            pb.Facet(
                share=len(members) / len(ids),
                ids=[ids[i] for i in members],
                visualization=wire_certificate.visualization(
                    str(checked.path), picture, comparison
                ),
                crops=[png(crops[i][0].numpy()) for i in members[:MOST_CROPS]],
            )
        )
    return facets
