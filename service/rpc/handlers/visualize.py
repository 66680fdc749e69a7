"""Visualize: pictures of what units see, streamed while the engine climbs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.feature.visualize import Pictures
from interp.probe import Progress
from service.models.zoo import ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.handlers.pictures import PicturePlanner, Yardsticks
from service.rpc.validation import InvalidField, required
from service.rpc.wire import certificate as wire_certificate
from service.rpc.wire import images as wire_images
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire import visualize as wire_visualize
from service.rpc.wire.objective import Where, named
from service.rpc.wire.visualize import Wanted
from service.visualization import build as pictures
from service.visualization.spec import Recipe
from striate.v1 import visualize_pb2 as pb

_GRAMS = 2**26  # bytes of Gram matrices that any server has
_UNSENT = 32  # progress messages kept for a slow reader; more are dropped

Event = tuple[int, list[float], list[NDArray[np.uint8]]]  # step, scores, previews (C, H, W)


class VisualizeHandler:
    """Answers Visualize."""

    def __init__(self, zoo: ModelZoo, compute: Compute, planner: PicturePlanner) -> None:
        self._zoo, self._compute, self._planner = zoo, compute, planner

    async def visualize(
        self, request: pb.VisualizeRequest, context: Context
    ) -> AsyncIterator[pb.VisualizeResponse]:
        """Stream while the engine climbs; a reader who leaves takes the job along."""
        settings = request.settings
        with self._zoo.use(required("model", request.model)) as model:
            count = wire_visualize.number(request)
            priority = wire_priority.priority(settings.priority)
            where = await self._planner.shapes(
                settings, model, named(request, model), settings.deterministic
            )
            recipe = wire_visualize.recipe(
                settings,
                where.preprocessing.shape,
                request.variants or 1,
                request.HasField("start"),
            )
            memory = self._bounded(request, recipe, where, count * recipe.variants)
            wanted = await self._compute.run_in_pool(wire_visualize.wanted, request, recipe, where)
            self._planner.check_shared_pass(model, wanted.recipe, len(wanted.of_row))
            procedure, yardsticks = await self._planner.procedure(
                wanted.of_row, wanted.recipe, where
            )
            updates = ProgressQueue(request.preview_every)
            job = asyncio.ensure_future(
                self._compute.solve(
                    context,
                    model,
                    procedure,
                    memory,
                    priority,
                    settings.deterministic,
                    updates.put,
                )
            )
            try:
                async for step, scores, previews in updates.until(job):
                    pngs = await self._compute.run_in_pool(_pngs, previews)
                    yield pb.VisualizeResponse(
                        progress=pb.VisualizeProgress(
                            step=step, steps=recipe.steps, scores=scores, previews=pngs
                        )
                    )
                result = await self._compute.run_in_pool(
                    _result, job.result(), wanted, yardsticks, request.include_tensor
                )
                result.provenance.CopyFrom(wire_provenance.provenance(model))
                yield pb.VisualizeResponse(result=result)
            finally:
                job.cancel()

    def _bounded(
        self, request: pb.VisualizeRequest, recipe: Recipe, where: Where, count: int
    ) -> int:
        """Bytes that the request holds while it is answered; InvalidField if that, its passes or
        its answer would be too large.
        """
        _, height, width = recipe.shape
        bytes_a_value = (
            5.5 if request.include_tensor else 1.5
        )  # float32, and a PNG that cannot be packed
        if bytes_a_value * count * recipe.channels * height * width > wire_images.MOST_BYTES:
            raise InvalidField(
                "settings.size",
                f"{count} pictures of {height} x {width} are more than one answer can hold",
            )
        held = wire_visualize.held_bytes(recipe, count)
        held += wire_visualize.likeness_bytes(request, recipe, where)
        memory = self._planner.bounded("settings.size", count, held)
        grams = wire_visualize.gram_bytes(request, recipe, count, where)
        if grams > max(self._compute.engine.limits.memory // 2, _GRAMS):
            field = "diversity.layer" if request.HasField("diversity") else "composed"
            raise InvalidField(
                field,
                "names a layer of so many units that their Gram matrices take more memory "
                "than there is",
            )
        return memory


class ProgressQueue:
    """Carries a job's progress from the engine's thread to the call's coroutine; it rather drops
    updates than keeps a job waiting.
    """

    def __init__(self, preview_every: int) -> None:
        self._every = preview_every
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Event] = asyncio.Queue(_UNSENT)
        self._pictures_unsent = 0
        self._last_step = 0

    def put(self, progress: Progress, scores: Tensor) -> None:
        """Called by the engine; pictures are copied off the device only for previews that were
        asked for and can be sent.

        Only the first optimization is told of: later ones, of a few rows or of further seeds, begin
        at step 1 again.
        """
        if progress.step <= self._last_step:
            return
        self._last_step = progress.step
        wanted = self._every and progress.step % self._every == 0 and not self._pictures_unsent
        previews = list((progress.preview() * 255).round().byte().cpu().numpy()) if wanted else []
        self._loop.call_soon_threadsafe(self._enqueue, (progress.step, scores.tolist(), previews))

    def _enqueue(self, item: Event) -> None:
        if not self._queue.full():
            self._pictures_unsent += bool(item[2])
            self._queue.put_nowait(item)

    async def until(self, job: "asyncio.Future[Pictures]") -> AsyncIterator[Event]:
        """The updates as they come, until the job is done; raises what the job raises."""
        while not (job.done() and self._queue.empty()):
            item = asyncio.ensure_future(self._queue.get())
            either: set[asyncio.Future[Any]] = {item, job}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if item.done():
                    yield item.result()
                    self._pictures_unsent -= bool(item.result()[2])
            finally:
                item.cancel()
        job.result()


def _pngs(images: Sequence[NDArray[np.uint8]]) -> list[bytes]:
    return [pictures.encoded(image) for image in images]


def _result(
    found: Pictures, wanted: Wanted, yardsticks: Yardsticks, include_tensor: bool
) -> pb.VisualizeResult:
    rows = enumerate(zip(wanted.of_row, pictures.drawn(found), strict=True))
    result = pb.VisualizeResult(
        visualizations=[
            wire_certificate.visualization(
                str(goal),
                drawn,
                yardsticks.standing(goal.unit, drawn),
                row % wanted.recipe.variants,
            )
            for row, (goal, drawn) in rows
        ]
    )
    if include_tensor:
        result.tensor.CopyFrom(wire_tensors.from_array(found.images.float().numpy()))
    return result
