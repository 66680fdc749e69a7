"""The methods of InterpretService about indexes of data sets: building them, and what they say of
units.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from google.longrunning.operations_pb2 import Operation

from interp.probe import Procedure
from service.datasets import Dataset
from service.engine.job import Priority, T
from service.imaging import decode
from service.index.store import BuildProgress, IndexStore, Plan, Subject
from service.models.zoo import HostedModel
from service.operations import Context as OperationContext
from service.operations import Operations
from service.rpc.context import House
from service.rpc.handlers.datasets import DatasetHandlers
from service.rpc.interceptor import Context
from service.rpc.validation import InvalidField, required, within
from service.rpc.wire import exemplars as wire_exemplars
from service.rpc.wire import images as wire_images
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import units as wire_units
from service.threads import in_daemon_thread
from striate.v1 import exemplars_pb2 as pb

BUILD = "BuildExemplarIndex"
MOST_LAYERS = 64
BATCH = (64, 256)  # images of one pass of a scan, at least and at most


class ExemplarHandlers(DatasetHandlers):
    """BuildExemplarIndex, FindExemplars, GetUnitStatistics; and the methods about data sets, which
    it leans on.
    """

    def __init__(
        self, house: House, index: IndexStore, operations: Operations, state: Path
    ) -> None:
        super().__init__(house, index, operations, state)
        operations.register(BUILD, self._build)

    async def BuildExemplarIndex(
        self, request: pb.BuildExemplarIndexRequest, context: Context
    ) -> Operation:
        """Checks the request, and answers as soon as the operation is on disk."""
        await in_daemon_thread(self._plan, request)
        metadata = pb.BuildExemplarIndexMetadata(
            model=request.model, dataset=request.dataset, layers=request.layers
        )
        return await self._operations.start(BUILD, request, metadata)

    def _plan(self, request: pb.BuildExemplarIndexRequest) -> tuple[Plan, Dataset]:
        k = within("k", request.k, 1, wire_exemplars.MOST, default=9)
        if not 1 <= len(request.layers) <= MOST_LAYERS:
            raise InvalidField(
                "layers", f"there are {len(request.layers)}, must be from 1 to {MOST_LAYERS}"
            )
        dataset = self._house.datasets.get(required("dataset", request.dataset))
        with self._house.model(request.model) as model:
            paths = [
                wire_units.path(text, f"layers[{i}]", model)
                for i, text in enumerate(request.layers)
            ]
            for i, path in enumerate(paths):
                if path.unit is not None or len(model.network.output_shapes[path.layer]) not in (
                    1,
                    3,
                ):
                    raise InvalidField(
                        f"layers[{i}]",
                        "must name a layer whose output is (units,) or (units, rows, columns)",
                    )
            shapes = {path.layer: model.network.output_shapes[path.layer] for path in paths}
            plan = Plan(
                Subject.of(model.name, model.digest, dataset),
                shapes,
                k,
                request.limit,
                labels=dataset.label_count,
                class_k=within("class_k", request.class_k, 0, wire_exemplars.MOST)
                if request.HasField("class_k")
                else None,
                shard_images=within("shard_images", request.shard_images, 64, 65536, default=4096),
                quantiles=wire_exemplars.quantiles(request.quantiles),
            )
            wire_exemplars.check_class_k(plan)
            return plan, dataset

    def _build(self, packed: Any, context: OperationContext) -> pb.BuildExemplarIndexResponse:
        """Runs the operation, in a thread of its own; after a restart it goes on where it
        stopped.
        """
        request = pb.BuildExemplarIndexRequest()
        packed.Unpack(request)
        batch = min(max(self._house.engine.limits.tick_rows, BATCH[0]), BATCH[1])
        with self._house.model(
            request.model
        ) as model:  # the plan is of this one: none is loaded in its place meanwhile
            plan, dataset = self._plan(request)

            def progress(now: BuildProgress) -> None:
                metadata = pb.BuildExemplarIndexMetadata(
                    model=request.model,
                    dataset=request.dataset,
                    layers=list(plan.shapes),
                    images_done=now.images_done,
                    images_total=now.images,
                    shards_done=now.shards_done,
                    shards_total=now.shards,
                )
                context.progress(metadata, lasting=now.lasting)

            images = self._index.build(
                plan,
                dataset,
                lambda data: model.preprocessing.apply(decode(data)),
                self._submitter(model, batch),
                batch=batch,
                progress=progress,
                cancelled=context.cancelled,
            )
            return pb.BuildExemplarIndexResponse(
                images=images, units=plan.units, provenance=wire_provenance.provenance(model)
            )

    def _submitter(self, model: HostedModel, batch: int) -> "Callable[[Procedure[T]], Future[T]]":
        memory = wire_images.image_bytes(batch, model)
        return lambda procedure: self._house.engine.submit(
            model, procedure, memory=memory, priority=Priority.BATCH
        )

    async def FindExemplars(
        self, request: pb.FindExemplarsRequest, context: Context
    ) -> pb.FindExemplarsResponse:
        """Reads the index, images and crops in the pool; the device is not asked."""
        by, k = wire_exemplars.order(request), wire_exemplars.count(request)
        name = required("dataset", request.dataset)
        with self._house.model(request.model) as model:
            path = wire_exemplars.unit(request.unit, model)
            assert path.unit is not None
            dataset = await self._opened(name)
            label = wire_exemplars.label(request, dataset)
            subject = Subject.of(model.name, model.digest, dataset)
            try:
                found = await self._house.aside(
                    self._index.find, subject, path.layer, path.unit, k, by, label
                )
            except ValueError as error:  # the unit and the order are there
                raise InvalidField("label", str(error)) from error
            exemplars = [
                wire_exemplars.exemplar(hit, wire_exemplars.box(hit, path, by, model))
                for hit in found.hits
            ]
            if not request.without_images:
                seen = model.preprocessing
                await asyncio.gather(
                    *(
                        self._house.aside(wire_exemplars.draw, message, dataset, seen)
                        for message in exemplars
                    )
                )
            response = pb.FindExemplarsResponse(
                unit=str(path),
                exemplars=exemplars,
                provenance=wire_provenance.provenance(model),
                images=found.images,
            )
        if response.ByteSize() > wire_images.MOST_BYTES:
            raise InvalidField(
                "k",
                f"the pictures of {len(exemplars)} exemplars are more than one answer can "
                f"hold; ask for fewer",
            )
        return response

    async def GetUnitStatistics(
        self, request: pb.GetUnitStatisticsRequest, context: Context
    ) -> pb.GetUnitStatisticsResponse:
        """Reads the index in the pool."""
        name = required("dataset", request.dataset)
        with self._house.model(request.model) as model:
            path = wire_exemplars.units(request.unit, model)
            subject = Subject.of(model.name, model.digest, await self._opened(name))

            def find() -> list[pb.UnitStatistics]:
                return [
                    wire_exemplars.statistics(path.layer, unit)
                    for unit in self._index.statistics(subject, path.layer, path.unit)
                ]

            units = await self._house.aside(find)
            images = sum(units[0].histogram)
            return pb.GetUnitStatisticsResponse(
                units=units, images=images, provenance=wire_provenance.provenance(model)
            )
