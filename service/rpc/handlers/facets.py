"""FindFacets: the different things that one unit sees."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from interp.feature.facets import Clustering, cluster
from interp.layer import LayerPath
from service.datasets import Dataset, Datasets
from service.datasets.samples import image
from service.engine.job import Priority
from service.imaging import png
from service.index.store import IndexStore
from service.index.types import Hit, Subject
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.handlers.pictures import PicturePlanner, Yardsticks
from service.rpc.validation import InvalidField, required, within
from service.rpc.wire import certificate as wire_certificate
from service.rpc.wire import exemplars as wire_exemplars
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import units as wire_units
from service.rpc.wire import visualize as wire_visualize
from service.threads import in_daemon_thread
from service.visualization import build as pictures
from service.visualization import facets as facet_work
from service.visualization.cache import Picture
from service.visualization.facets import Box
from service.visualization.spec import Goal, Recipe, Term
from striate.v1 import visualize_pb2 as pb

MOST_EXEMPLARS = 100
MOST_FACETS = 8
MOST_CROPS = 4  # shown a facet


@dataclass(frozen=True, eq=False)
class Exemplars:
    """What a unit is most active on, strongest first: images (N, C, H, W) in [0, 1], and the boxes
    of the unit's receptive field.
    """

    ids: Sequence[int]
    images: Tensor
    boxes: Sequence[Box]


@dataclass(frozen=True, eq=False)
class Asked:
    """A checked request."""

    model: HostedModel
    path: LayerPath
    recipe: Recipe
    exemplars: Exemplars
    facets: int
    urgency: Priority


class FacetHandler:
    """Answers FindFacets."""

    def __init__(self, zoo: ModelZoo, finder: "FacetFinder") -> None:
        self._zoo, self._finder = zoo, finder

    async def find_facets(
        self, request: pb.FindFacetsRequest, context: Context
    ) -> pb.FindFacetsResponse:
        """Find the facets of one unit."""
        with self._zoo.use(required("model", request.model)) as model:
            return await self._finder.find(request, model, context)


class FacetFinder:
    """Reads a unit's exemplars, clusters them in the pool, and makes all pictures in one batch."""

    def __init__(
        self, compute: Compute, datasets: Datasets, index: IndexStore, planner: PicturePlanner
    ) -> None:
        self._compute, self._datasets = compute, datasets
        self._index, self._planner = index, planner

    async def find(
        self, request: pb.FindFacetsRequest, model: HostedModel, context: Context
    ) -> pb.FindFacetsResponse:
        """Find the facets of a unit of a model that cannot be unloaded meanwhile."""
        asked, memory = await self._asked(request, model)
        by_layer = await self._by_layer(request.by_layer, asked, context)
        clustering = await self._clustering(asked, by_layer, context)
        seen = asked.exemplars
        start = await self._compute.run_in_pool(
            facet_work.beginnings,
            seen.images,
            seen.boxes,
            clustering.labels.tolist(),
            asked.recipe.shape[1:],
        )
        yardsticks = await self._planner.yardsticks(asked.recipe, model, [asked.path])
        count = clustering.number
        procedure = pictures.picture(
            [Goal((Term(asked.path),))] * count,
            replace(asked.recipe, start=start),
            model.network,
            rows=[(asked.recipe.seed, facet) for facet in range(count)],
            bars=[yardsticks.bar(asked.path)] * count,
        )
        found = await self._compute.solve(
            context, model, procedure, memory, asked.urgency, deterministic=True
        )
        drawn = await self._compute.run_in_pool(pictures.drawn, found)
        facets = await self._compute.run_in_pool(_facets, asked, clustering, drawn, yardsticks)
        return pb.FindFacetsResponse(
            facets=facets,
            by_layer=by_layer,
            silhouette=clustering.silhouette,
            provenance=wire_provenance.provenance(model),
        )

    async def _asked(self, request: pb.FindFacetsRequest, model: HostedModel) -> tuple[Asked, int]:
        settings = request.settings
        urgency = wire_priority.priority(settings.priority)
        path = wire_exemplars.unit(request.unit, model)
        facets = within("facets", request.facets, 0, MOST_FACETS)
        k = within("exemplars", request.exemplars, 2, MOST_EXEMPLARS, default=MOST_EXEMPLARS)
        where = await self._planner.shapes(settings, model, {path.layer})
        recipe = wire_visualize.recipe(settings, where.preprocessing.shape)
        if recipe.space[0] not in ("fourier", "pixels"):
            raise InvalidField(
                "settings.parameterization",
                f"{recipe.space[0]} cannot begin at an image, as facets do",
            )
        memory = self._planner.bounded(
            "settings.size", MOST_FACETS, wire_visualize.held_bytes(recipe, MOST_FACETS)
        )
        dataset = await in_daemon_thread(self._datasets.get, required("dataset", request.dataset))
        hits = await self._compute.run_in_pool(
            self._hits, request, Subject.of(model.name, model.digest, dataset), path, k
        )
        exemplars = await self._compute.run_in_pool(_read, hits, dataset, path, model)
        recipe = replace(recipe, indexed=recipe.indexed or request.dataset)
        return Asked(model, path, recipe, exemplars, facets, urgency), memory

    def _hits(
        self, request: pb.FindFacetsRequest, subject: Subject, path: LayerPath, k: int
    ) -> list[Hit]:
        assert path.unit is not None
        hits = self._index.find(subject, path.layer, path.unit, k).hits
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

    async def _by_layer(self, text: str, asked: Asked, context: Context) -> str:
        """The layer that the request names, or the one before the unit's."""
        network = asked.model.network
        if text:
            return wire_units.read_layer(text, "by_layer", asked.model)
        names = facet_work.candidates(asked.path.layer, network.layers, network.output_shapes)
        procedure = facet_work.other(asked.exemplars.images[:1], asked.path.layer, names)
        found = (
            await self._compute.solve(context, asked.model, procedure, 0, asked.urgency)
            if names
            else None
        )
        if found is None:
            raise InvalidField(
                "by_layer", f"is required: no other layer comes before {asked.path.layer}"
            )
        return found

    async def _clustering(self, asked: Asked, by_layer: str, context: Context) -> Clustering:
        seen = asked.exemplars
        field = next(
            (info.receptive_field for info in asked.model.layers if info.name == by_layer), None
        )
        procedure = facet_work.features(seen.images, seen.boxes, by_layer, field)
        points = await self._compute.solve(
            context, asked.model, procedure, seen.images.nbytes, asked.urgency, deterministic=True
        )
        try:
            return await self._compute.run_in_pool(cluster, points, asked.facets)
        except ValueError as error:
            raise InvalidField("facets", str(error)) from error


def _read(hits: Sequence[Hit], dataset: Dataset, path: LayerPath, model: HostedModel) -> Exemplars:
    images = np.stack([image(dataset, hit.id, model.preprocessing) for hit in hits])
    boxes = [wire_exemplars.box(hit, path, "max", model) for hit in hits]
    return Exemplars([hit.id for hit in hits], torch.from_numpy(images).float() / 255, boxes)


def _facets(
    asked: Asked, clustering: Clustering, drawn: Sequence[Picture], yardsticks: Yardsticks
) -> list[pb.Facet]:
    seen, facets = asked.exemplars, []
    crops = list(facet_work.cropped(seen.images, seen.boxes))
    for facet, picture in enumerate(drawn):
        (members,) = (clustering.labels == facet).nonzero()
        standing = yardsticks.standing(asked.path, picture)
        facets.append(
            pb.Facet(
                share=len(members) / len(seen.ids),
                ids=[seen.ids[i] for i in members],
                visualization=wire_certificate.visualization(str(asked.path), picture, standing),
                crops=[png(crops[i][0].numpy()) for i in members[:MOST_CROPS]],
            )
        )
    return facets
