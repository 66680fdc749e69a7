"""Visualize: pictures of what units see, streamed while the engine climbs."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.ascent import Procedure, Progress
from interp.feature import Pictures, visualize
from interp.layer import LayerPath
from interp.network import Network
from interp.transform import Jiggle, identity
from service import wire
from service.errors import InvalidField
from service.handlers.base import Interpreter
from service.images import png
from service.jobs import Draining, OutOfMemory
from service.manners import Context
from service.zoo import HostedModel
from striate.v1 import visualize_pb2 as pb

MOST_OBJECTIVES = 64
_UNSENT = 32  # progress messages kept for a slow reader; more are dropped

Event = tuple[int, list[float], list[NDArray[np.uint8]]]  # step, scores, previews (C, H, W)


class VisualizeHandlers(Interpreter):
    """Visualize."""

    async def Visualize(self, request: pb.VisualizeRequest, context: Context) -> AsyncIterator[pb.VisualizeResponse]:
        """Streams while the engine climbs; a reader who leaves takes the job along."""
        with self._house.model(request.model) as model:
            paths, shape = await self._objectives(request, model)
            steps = wire.within("steps", request.steps, 1, 4096, default=256)
            procedure = _visualize(
                paths,
                shape,
                model.network,
                steps=steps,
                rate=wire.within("learning_rate", request.learning_rate, 1e-6, 1.0, default=0.05),
                seed=request.seed,
                transform=identity if request.without_transforms else Jiggle(),
            )
            memory = 4 * len(paths) * math.prod(shape) * wire.STATE_COPIES
            news = News(request.preview_every)
            job = asyncio.ensure_future(
                self._house.solve(context, model, procedure, memory, wire.priority(request.priority), request.deterministic, news.tell)
            )
            try:
                async for step, scores, previews in news.until(job):
                    pngs = await self._house.aside(_pngs, previews)
                    yield pb.VisualizeResponse(progress=pb.VisualizeProgress(step=step, steps=steps, scores=scores, previews=pngs))
                result = await self._house.aside(_result, job.result(), paths, request.include_tensor)
                result.provenance.CopyFrom(wire.provenance(model))
                yield pb.VisualizeResponse(result=result)
            finally:
                job.cancel()

    async def _objectives(self, request: pb.VisualizeRequest, model: HostedModel) -> tuple[list[LayerPath], tuple[int, int, int]]:
        """What to climb, checked against the layers' shapes at the size asked for, and the pictures' shape."""
        if not 1 <= len(request.objectives) <= MOST_OBJECTIVES:
            raise InvalidField("objectives", f"there are {len(request.objectives)}, must be from 1 to {MOST_OBJECTIVES}")
        paths = [wire.path(text, f"objectives[{i}]", model) for i, text in enumerate(request.objectives)]
        channels, height, width = model.network.shape
        shapes = model.network.output_shapes
        if request.size and (request.size, request.size) != (height, width):
            scale = wire.within("size", request.size, 16, 1024) ** 2 / (height * width)
            if model.bytes_per_row * scale > self._house.engine.memory // 2:
                raise InvalidField("size", f"a pass of {request.size} x {request.size} pixels takes more memory than there is")
            height = width = request.size
            shapes = await self._shapes_at(model, {p.layer for p in paths}, (channels, height, width))
        bytes_a_value = 5.5 if request.include_tensor else 1.5  # float32, and a PNG that cannot be packed
        if bytes_a_value * len(paths) * channels * height * width > wire.MOST_BYTES:
            raise InvalidField("size", f"{len(paths)} pictures of {height} x {width} are more than one answer can hold")
        checked = [wire.check_path(p, f"objectives[{i}]", shapes[p.layer]) for i, p in enumerate(paths)]
        return checked, (channels, height, width)

    async def _shapes_at(self, model: HostedModel, layers: set[str], shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
        def look() -> dict[str, tuple[int, ...]]:
            found = model.network.activations(torch.full((1, *shape), 0.5), sorted(layers))
            return {name: tuple(a.shape[1:]) for name, a in found.items()}

        try:
            return await self._house.on_device(look)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(f"one picture of {shape[1]} x {shape[2]} does not fit into the device's memory") from error
        except Draining:
            raise
        except RuntimeError as error:
            raise InvalidField("size", f"this network cannot take {shape[1]} x {shape[2]}: {error}") from error


class News:
    """Carries a job's progress from the engine's thread to the call's coroutine; it rather drops news than keeps a job waiting."""

    def __init__(self, preview_every: int) -> None:
        self._every = preview_every
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Event] = asyncio.Queue(_UNSENT)
        self._pictures_unsent = 0

    def tell(self, progress: Progress, scores: Tensor) -> None:
        """Called by the engine; pictures are copied off the device only for previews that were asked for and can be sent."""
        wanted = self._every and progress.step % self._every == 0 and not self._pictures_unsent
        previews = list((progress.preview() * 255).round().byte().cpu().numpy()) if wanted else []
        self._loop.call_soon_threadsafe(self._put, (progress.step, scores.tolist(), previews))

    def _put(self, item: Event) -> None:
        if not self._queue.full():
            self._pictures_unsent += bool(item[2])
            self._queue.put_nowait(item)

    async def until(self, job: "asyncio.Future[Pictures]") -> AsyncIterator[Event]:
        """The news as it comes, until the job is done; raises what the job raises."""
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


def _visualize(paths: Sequence[LayerPath], shape: tuple[int, int, int], network: Network, **settings: Any) -> Procedure[Pictures]:
    """`visualize` on the network's device, its result on the host; nothing is allocated before the engine runs this."""
    like = torch.zeros((), device=network.device, dtype=network.dtype)
    found = yield from visualize(paths, shape, like, **settings)
    return Pictures(found.images.float().cpu(), found.activation.cpu(), found.dead.cpu())


def _pngs(images: Sequence[NDArray[np.uint8]]) -> list[bytes]:
    return [png(image) for image in images]


def _result(found: Pictures, paths: Sequence[LayerPath], include_tensor: bool) -> pb.VisualizeResult:
    images = found.images.numpy()
    rows = zip(paths, images, found.activation.tolist(), found.dead.tolist(), strict=True)
    result = pb.VisualizeResult(
        visualizations=[
            pb.Visualization(objective=str(path), png=png(image), activation=activation, dead=dead)
            for path, image, activation, dead in rows
        ]
    )
    if include_tensor:
        result.tensor.CopyFrom(wire.tensor(images))
    return result
