"""Visualize: pictures of what units see, streamed while the engine climbs."""

import asyncio
from collections.abc import AsyncIterator

from interp.feature.settings import PictureSettings
from interp.feature.visualize import VisualizationResult
from service.engine.job import Least
from service.models.zoo import ModelZoo
from service.process.tracing import step
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.handlers.pictures.planner import SIZE, PicturePlanner
from service.rpc.validation import InvalidField, required
from service.rpc.wire import images as wire_images
from service.rpc.wire import models as wire_models
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire.pictures import certificate as wire_certificate
from service.rpc.wire.pictures import objective as wire_objective
from service.rpc.wire.pictures import settings as wire_settings
from service.rpc.wire.pictures import visualize as wire_visualize
from service.rpc.wire.pictures.model_at_size import ModelAtSize
from service.visualization.comparison import DatasetMaxima
from service.visualization.encode import encode_pictures, encode_png
from service.visualization.progress import ProgressQueue, StepUpdate
from service.visualization.spec import PictureRequest
from striate.v1 import visualize_pb2 as pb

_GRAM_BYTES = 2**26  # of Gram matrices that any server has
_PNG_BYTES = 1.5  # a value of a PNG that cannot be packed, at most
_TENSOR_BYTES = 4.0  # a value of the tensor


class VisualizeHandler:
    """Answers Visualize.

    Args:
        zoo: the models.
        compute: the ways to the engine and the pool.
        planner: what pictures take.
    """

    def __init__(self, zoo: ModelZoo, compute: Compute, planner: PicturePlanner) -> None:
        self._zoo, self._compute, self._planner = zoo, compute, planner

    async def visualize(
        self, request: pb.VisualizeRequest, context: Context
    ) -> AsyncIterator[pb.VisualizeResponse]:
        """Stream while the engine climbs; a reader who leaves takes the job along."""
        deterministic = request.settings.deterministic
        with self._zoo.use(required("model", request.model)) as model:
            wire_models.check_deterministic(model, deterministic, "settings.deterministic")
            count = wire_visualize.objective_count(request) * wire_visualize.variants(request)
            priority = wire_priority.priority(request.settings.priority)
            dataset = wire_settings.index_dataset(request.settings)
            paths = wire_objective.paths(request, model)
            where = await self._planner.at_size(request.settings, model, paths, deterministic)
            settings = wire_visualize.settings(request, where)
            memory = self._bounded(request, settings, where, count)
            async with self._compute.admitting(request, where.preprocessing):
                pictures = await self._compute.run_long_in_pool(
                    wire_visualize.picture_request, request, settings, where
                )
            self._planner.check_shared_pass(model, pictures)
            procedure, maxima = await self._planner.procedure(pictures, where, dataset)
            updates = ProgressQueue(request.preview_every)
            job = asyncio.ensure_future(
                self._compute.solve(
                    context,
                    model,
                    procedure,
                    memory,
                    priority,
                    deterministic,
                    updates.put,
                    least=_least(pictures, settings),
                )
            )
            try:
                async for update in updates.until(job):
                    with step("preview"):
                        progress = await self._compute.run_in_pool(
                            _progress, update, settings.steps
                        )
                    yield pb.VisualizeResponse(progress=progress)
                result = await self._compute.encode(
                    _result, job.result(), pictures, maxima, request.include_tensor
                )
                result.provenance.CopyFrom(wire_provenance.provenance(model))
                yield pb.VisualizeResponse(result=result)
            finally:
                job.cancel()

    def _bounded(
        self,
        request: pb.VisualizeRequest,
        settings: PictureSettings,
        where: ModelAtSize,
        count: int,
    ) -> int:
        """Bytes that the request holds while it is answered; InvalidField if that, its passes or
        its answer would be too large.
        """
        channels, height, width = settings.shape
        values = count * (4 if settings.transparent else channels) * height * width
        value_bytes = _PNG_BYTES + (_TENSOR_BYTES if request.include_tensor else 0)
        if value_bytes * values > wire_images.MOST_BYTES:
            raise InvalidField(
                SIZE, f"{count} pictures of {height} x {width} are more than one answer can hold"
            )
        held = wire_visualize.picture_bytes(settings, count)
        held += wire_visualize.likeness_bytes(request, settings, where)
        memory = self._planner.bounded(count, held)
        grams = wire_visualize.gram_bytes(request, count, where)
        if grams > max(self._compute.engine.limits.memory // 2, _GRAM_BYTES):
            raise InvalidField(
                "diversity.layer" if request.HasField("diversity") else "composed",
                "names a layer of so many units that their Gram matrices take more memory "
                "than there is",
            )
        return memory


def _progress(update: StepUpdate, steps: int) -> pb.VisualizeProgress:
    """An update as a message. Encodes previews: not for the event loop."""
    previews = [encode_png(image) for image in update.previews]
    return pb.VisualizeProgress(
        step=update.step, steps=steps, scores=update.scores, previews=previews
    )


def _result(
    found: VisualizationResult,
    request: PictureRequest,
    maxima: DatasetMaxima,
    include_tensor: bool,
) -> pb.VisualizeResult:
    """Finished pictures as a message. Encodes them and reads indexes: not for the event loop."""
    result = pb.VisualizeResult(
        visualizations=[
            wire_certificate.visualization(
                str(objective),
                picture,
                maxima.compare(objective.unit, picture),
                row % request.variants,
            )
            for row, (objective, picture) in enumerate(
                zip(request.objectives, encode_pictures(found), strict=True)
            )
        ]
    )
    if include_tensor:
        result.tensor.CopyFrom(wire_tensors.from_array(found.images.float().numpy()))
    return result


def _least(request: PictureRequest, settings: PictureSettings) -> Least | None:
    """What pictures ask of the device at the least: all their steps; None where some are not of
    units alone.
    """
    paths = [objective.path for objective in request.objectives]
    layers = frozenset(path.layer for path in paths if path is not None)
    if None in paths or request.diversity is not None:
        return None
    return Least(len(paths), settings.steps, layers, settings.shape)
