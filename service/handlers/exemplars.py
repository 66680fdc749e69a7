"""The methods of InterpretService that concern data sets: indexes, exemplars, samples."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from google.longrunning.operations_pb2 import Operation

from interp.ascent import Procedure
from interp.describe import ReceptiveField
from interp.exemplars import crop_rectangle
from interp.layer import LOGITS
from service import wire
from service.daemon import in_daemon_thread
from service.datasets import Dataset, DatasetError, Sample, class_indices
from service.errors import InvalidField
from service.handlers.base import House, Interpreter
from service.images import decode, png
from service.index import Hit, IndexStore, Plan, Subject
from service.jobs import Priority, T
from service.manners import Context
from service.operations import Context as OperationContext
from service.operations import Operations
from service.zoo import HostedModel
from striate.v1 import exemplars_pb2 as pb
from striate.v1 import interpret_pb2

BUILD = "BuildExemplarIndex"
MOST_LAYERS = 64
MOST_ERROR = 1000  # characters of a data set's error
BATCH = 64  # images of one pass of a scan


class ExemplarHandlers(Interpreter):
    """BuildExemplarIndex, FindExemplars, ListDatasets, ReadSamples."""

    def __init__(self, house: House, index: IndexStore, operations: Operations, state: Path) -> None:
        super().__init__(house, index, operations, state)
        operations.register(BUILD, self._build)

    async def BuildExemplarIndex(self, request: pb.BuildExemplarIndexRequest, context: Context) -> Operation:
        """Checks the request, and answers as soon as the operation is on disk."""
        await in_daemon_thread(self._plan, request)
        metadata = pb.BuildExemplarIndexMetadata(model=request.model, dataset=request.dataset, layers=request.layers)
        return await self._operations.start(BUILD, request, metadata)

    def _plan(self, request: pb.BuildExemplarIndexRequest) -> tuple[Plan, Dataset]:
        k = wire.within("k", request.k, 1, 100, default=9)
        if not 1 <= len(request.layers) <= MOST_LAYERS:
            raise InvalidField("layers", f"there are {len(request.layers)}, must be from 1 to {MOST_LAYERS}")
        dataset = self._house.datasets.get(wire.required("dataset", request.dataset))
        with self._house.model(request.model) as model:
            paths = [wire.path(text, f"layers[{i}]", model) for i, text in enumerate(request.layers)]
            for i, path in enumerate(paths):
                if path.unit is not None or len(model.network.output_shapes[path.layer]) not in (1, 3):
                    raise InvalidField(f"layers[{i}]", "must name a layer whose output is (units,) or (units, rows, columns)")
            shapes = {path.layer: model.network.output_shapes[path.layer] for path in paths}
            return Plan(Subject.of(model.name, model.digest, dataset), shapes, k, request.limit), dataset

    def _build(self, packed: Any, context: OperationContext) -> pb.BuildExemplarIndexResponse:
        """Runs the operation, in a thread of its own; after a restart it goes on where it stopped."""
        request = pb.BuildExemplarIndexRequest()
        packed.Unpack(request)
        plan, dataset = self._plan(request)
        with self._house.model(request.model) as model:

            def progress(done: int, total: int) -> None:
                context.progress(
                    pb.BuildExemplarIndexMetadata(
                        model=request.model, dataset=request.dataset, layers=list(plan.shapes), images_done=done, images_total=total
                    )
                )

            images = self._index.build(
                plan,
                dataset,
                lambda data: model.preprocessing.apply(decode(data)),
                self._submitter(model),
                batch=BATCH,
                progress=progress,
                cancelled=context.cancelled,
            )
            return pb.BuildExemplarIndexResponse(images=images, units=plan.units, provenance=wire.provenance(model))

    def _submitter(self, model: HostedModel) -> "Callable[[Procedure[T]], Future[T]]":
        return lambda procedure: self._house.engine.submit(model, procedure, memory=wire.image_bytes(BATCH, model), priority=Priority.BATCH)

    async def FindExemplars(self, request: pb.FindExemplarsRequest, context: Context) -> pb.FindExemplarsResponse:
        """Reads index, images and crops in the pool; the device is not asked."""
        k = wire.within("k", request.k, 1, 100, default=9)
        name = wire.required("dataset", request.dataset)
        with self._house.model(request.model) as model:
            path = wire.path(request.unit, "unit", model)
            if path.unit is None or path.position is not None:
                raise InvalidField("unit", "must be of the form layer:unit")
            wire.check_path(path, "unit", model.network.output_shapes[path.layer])
            field = next((info.receptive_field for info in model.layers if info.name == path.layer), None)
            unit = path.unit

            dataset = await self._opened(name)

            def find() -> tuple[list[pb.Exemplar], int]:
                found = self._index.find(Subject.of(model.name, model.digest, dataset), path.layer, unit, k)
                return [_exemplar(hit, dataset, model, None if path.layer == LOGITS else field) for hit in found.hits], found.images

            exemplars, images = await self._house.aside(find)
            return pb.FindExemplarsResponse(unit=str(path), exemplars=exemplars, provenance=wire.provenance(model), images=images)

    async def ListDatasets(self, request: interpret_pb2.ListDatasetsRequest, context: Context) -> interpret_pb2.ListDatasetsResponse:
        """Opens every data set that needs no download, which reads its table of contents; one that cannot be read says so."""
        if not request.model:
            datasets = await in_daemon_thread(self._datasets, None)
        else:
            with self._house.model(request.model) as model:
                datasets = await in_daemon_thread(self._datasets, model)
        return interpret_pb2.ListDatasetsResponse(datasets=datasets)

    def _datasets(self, model: HostedModel | None) -> list[interpret_pb2.Dataset]:
        return [self._listed(name, model) for name in self._house.datasets.names]

    def _listed(self, name: str, model: HostedModel | None) -> interpret_pb2.Dataset:
        message = interpret_pb2.Dataset(name=name, uri=self._house.datasets.uri(name))
        try:
            dataset = self._house.datasets.glance(name)
        except DatasetError as error:
            message.error = str(error)[:MOST_ERROR]
            return message
        if dataset is None:
            message.error = "not opened yet, which may take a download: it is opened when its images are first asked for"
            return message
        message.size, message.labelled = len(dataset), dataset.labelled
        message.classes.extend(dataset.classes)
        if model is not None:
            if dataset.labelled:
                message.class_indices.extend(class_indices(dataset.classes, model.classes, dataset.label_count))
            message.indexed_layers.extend(self._index.layers(Subject.of(model.name, model.digest, dataset)))
        return message

    async def ReadSamples(self, request: interpret_pb2.ReadSamplesRequest, context: Context) -> interpret_pb2.ReadSamplesResponse:
        """As many as there are from `first` on and as fit into one message; the others are not read."""
        count = wire.within("count", request.count, 1, 1024, default=16)
        dataset = await self._opened(wire.required("dataset", request.dataset))
        samples = await self._house.aside(dataset.read, request.first, count, wire.MOST_BYTES)
        return interpret_pb2.ReadSamplesResponse(
            samples=[interpret_pb2.Sample(id=s.id, name=s.name, image=s.image, label=s.label) for s in samples]
        )

    async def _opened(self, name: str) -> Dataset:
        """The data set of that name; opening it may download it, and hang."""
        return await in_daemon_thread(self._house.datasets.get, name)


def _exemplar(hit: Hit, dataset: Dataset, model: HostedModel, field: ReceptiveField | None) -> pb.Exemplar:
    sample: Sample
    (sample,) = dataset.read(hit.id, 1)
    image = model.preprocessing.apply(decode(sample.image))  # (C, H, W) uint8
    top, left, height, width = _crop(hit, field, image.shape[1:])
    label_name = dataset.classes[sample.label] if sample.label is not None and sample.label < len(dataset.classes) else ""
    return pb.Exemplar(
        id=hit.id,
        name=sample.name,
        image_png=png(image),
        crop_png=png(image[:, top : top + height, left : left + width]),
        activation=hit.activation,
        row=hit.row,
        column=hit.column,
        crop_top=top,
        crop_left=left,
        crop_height=height,
        crop_width=width,
        label=sample.label,
        label_name=label_name,
    )


def _crop(hit: Hit, field: ReceptiveField | None, image: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the hit's receptive field; the whole image where it is global or unknown."""
    if field is None or field.is_global:
        return 0, 0, image[0], image[1]
    return crop_rectangle(
        (hit.row, hit.column),
        (field.offset_y, field.offset_x),
        (field.jump_y, field.jump_x),
        (field.height, field.width),
        (image[0], image[1]),
    )
