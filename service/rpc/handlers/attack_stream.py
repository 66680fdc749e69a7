"""AttackStream: as many images in flight as the device wants, each answered as it is found, a bad
one by an error of its own.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import groupby

import grpc
import structlog
import torch
from torch import Tensor

from service.engine.job import Draining, Priority
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import Compute, deadline_of
from service.rpc.context import Context, request_id
from service.rpc.errors import row_of, status_of
from service.rpc.handlers.attack import solve_attack
from service.rpc.validation import InvalidField, required
from service.rpc.wire import images as wire_images
from service.rpc.wire import models as wire_models
from service.rpc.wire import priority as wire_priority
from service.rpc.wire.robustness import attack as wire_attack
from service.rpc.wire.robustness import attack_stream as wire_stream
from service.rpc.wire.robustness.attack_response import AttackOutcome, stream_responses
from striate.v1 import attack_pb2 as pb
from striate.v1 import types_pb2

log = structlog.get_logger("striate")

# so many passes' worth of images are in flight by default: one is answered while the next one is
# read
PASSES = 2


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An image of the stream.

    Attributes:
        message: as it came.
        x: (1, C, H, W) float32 in [0, 1], in the host's memory.
    """

    message: pb.AttackStreamImage
    x: Tensor

    @property
    def kind(self) -> tuple[bool, bool]:
        """Whether it has a label and a target: images of one job agree in both."""
        return self.message.HasField("label"), self.message.HasField("target")


class AttackStreamHandler:
    """Answers AttackStream.

    Args:
        zoo: the models.
        compute: where images are decoded and attacks are computed.
    """

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute

    async def attack_stream(
        self, requests: AsyncIterator[pb.AttackStreamRequest], context: Context
    ) -> AsyncIterator[pb.AttackStreamResponse]:
        """Attack images as they come: read on while there is room, and write as fast as the caller
        reads.

        Args:
            requests: the settings, then images.
            context: of the call.
        """
        settings = wire_stream.read_settings(await anext(aiter(requests), None))
        with self._zoo.use(required("model", settings.attack.model)) as model:
            wire_priority.priority(settings.attack.priority)
            # what is wrong with the settings is wrong with the whole call
            wire_attack.read_attack(settings.attack, model, 1)
            wire_models.check_deterministic(model, settings.attack.deterministic, "deterministic")
            most = wire_stream.read_in_flight(
                settings, PASSES * self._compute.engine.limits.tick_rows
            )
            run = StreamRun(self._compute, model, settings.attack, context, most)
            work = asyncio.create_task(run.run(requests))
            try:
                while (response := await run.answers.get()) is not None:
                    yield response
                    run.room.release()
                await work
            finally:
                work.cancel()


class StreamRun:
    """The images of one call on their way: read, decoded, gathered into jobs, answered.

    Args:
        compute: where images are decoded and attacks are computed.
        model: that is attacked.
        request: the stream's settings.
        context: of the call.
        most: images that may be unanswered at a time.

    Attributes:
        answers: in the order in which they are found; None: there are no more.
        room: one place for each image that may still be read.
    """

    def __init__(
        self,
        compute: Compute,
        model: HostedModel,
        request: pb.AttackRequest,
        context: Context,
        most: int,
    ) -> None:
        self._compute, self._model, self._request, self._context = compute, model, request, context
        self.room = asyncio.Semaphore(most)  # for images that are not answered yet
        self.answers: asyncio.Queue[pb.AttackStreamResponse | None] = (
            asyncio.Queue()
        )  # None: there are no more
        self._ready: asyncio.Queue[DecodedImage | None] = asyncio.Queue()
        self._job_rows = max(1, min(most, compute.engine.limits.tick_rows) // 2)

    async def run(self, requests: AsyncIterator[pb.AttackStreamRequest]) -> None:
        """Answer every image of the requests. What it raises ends the call.

        Args:
            requests: the messages of the stream.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(requests))
                await self._gather(group)
        except BaseExceptionGroup as several:
            error: BaseException = several
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None
        finally:
            self.answers.put_nowait(None)

    async def _read(self, requests: AsyncIterator[pb.AttackStreamRequest]) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                await self.room.acquire()
                message = await anext(aiter(requests), None)
                if message is None:
                    break
                if not message.HasField("image"):
                    raise InvalidField("image", "must be what every message but the first holds")
                group.create_task(self._decode(message.image))
        self._ready.put_nowait(None)

    async def _decode(self, message: pb.AttackStreamImage) -> None:
        try:
            wire_stream.check_image(message, self._request, self._model)
            x = await self._compute.decode_images(
                message.image, self._model.preprocessing, patient=True
            )
        except Exception as error:  # noqa: BLE001 - one bad image, which its own answer says
            self._refuse([message.id], error)
        else:
            self._ready.put_nowait(DecodedImage(message, x))

    async def _gather(self, group: asyncio.TaskGroup) -> None:
        """Make jobs of what is ready: of one image if no other is, of many if they come fast."""
        more = True
        while more:
            images = [await self._ready.get()]
            while len(images) < self._job_rows and not self._ready.empty():
                images.append(self._ready.get_nowait())
            more = images[-1] is not None
            rows = sorted(
                (image for image in images if image is not None), key=lambda image: image.kind
            )
            for _, alike in groupby(rows, key=lambda image: image.kind):
                group.create_task(self._attack(list(alike)))

    async def _attack(self, images: list[DecodedImage]) -> None:
        """Answer images with one job; one that fails is tried again image by image, so that only
        the one at fault fails.
        """
        try:
            found = await self._solve(images)
        except Draining:
            raise
        except Exception as error:  # noqa: BLE001 - what is wrong with an image its own answer says
            if len(images) == 1 or row_of(error).code is grpc.StatusCode.DEADLINE_EXCEEDED:
                self._refuse([image.message.id for image in images], error)
            else:
                for image in images:
                    await self._attack([image])
            return
        ids = [image.message.id for image in images]
        for answer in await self._compute.encode(
            stream_responses, ids, self._request.format, self._model, found
        ):
            self.answers.put_nowait(answer)

    async def _solve(self, images: list[DecodedImage]) -> AttackOutcome:
        x = torch.cat([image.x for image in images])
        messages = [image.message for image in images]
        spec = wire_stream.read_attack(messages, self._request, self._model)
        interactive = self._request.priority == types_pb2.PRIORITY_INTERACTIVE
        return await self._compute.solve_patiently(
            self._model,
            solve_attack(spec, x, self._model.network.device),
            x.nbytes * wire_images.STATE_COPIES,
            Priority.INTERACTIVE if interactive else Priority.BATCH,
            self._request.deterministic,
            deadline_of(self._context),
        )

    def _refuse(self, ids: list[int], error: Exception) -> None:
        if row_of(error).code is grpc.StatusCode.INTERNAL:
            log.error("image of a stream", ids=ids, request_id=request_id.get(), exc_info=error)
        for number in ids:
            self.answers.put_nowait(
                pb.AttackStreamResponse(id=number, error=status_of(error, request_id.get()))
            )
