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
from service.rpc.handlers.attack import Found, Prepared, Seeds, pngs, prepare
from service.rpc.validation import InvalidField, required, within
from service.rpc.wire import attack as wire_attack
from service.rpc.wire import attack_methods as wire_methods
from service.rpc.wire import images as wire_images
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import attack_pb2 as pb
from striate.v1 import types_pb2

log = structlog.get_logger("striate")

MOST_IN_FLIGHT = 1024
# so many passes' worth of images are in flight by default: one is answered while the next one is
# read
PASSES = 2


@dataclass(frozen=True, eq=False)
class Image:
    """An image of the stream, decoded (1, C, H, W)."""

    message: pb.AttackStreamImage
    x: Tensor

    @property
    def kind(self) -> tuple[bool, bool]:
        """Images of one job either all have a label, or none has; the same for targets."""
        return self.message.HasField("label"), self.message.HasField("target")


class AttackStreamHandler:
    """Answers AttackStream."""

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute

    async def attack_stream(
        self, requests: AsyncIterator[pb.AttackStreamRequest], context: Context
    ) -> AsyncIterator[pb.AttackStreamResponse]:
        """Reads on while there is room, and writes as fast as the caller reads."""
        settings = await _settings(requests)
        with self._zoo.use(required("model", settings.attack.model)) as model:
            wire_priority.priority(settings.attack.priority)
            prepare(
                settings.attack, model, 1, None, None
            )  # what is wrong with the settings is wrong with the whole call
            most = within(
                "settings.in_flight",
                settings.in_flight,
                1,
                MOST_IN_FLIGHT,
                default=PASSES * self._compute.engine.limits.tick_rows,
            )
            flow = Flow(self._compute, model, settings.attack, context, most)
            work = asyncio.create_task(flow.run(requests))
            try:
                while (response := await flow.answers.get()) is not None:
                    yield response
                    flow.room.release()
                await work
            finally:
                work.cancel()


async def _settings(requests: AsyncIterator[pb.AttackStreamRequest]) -> pb.AttackStreamSettings:
    first = await anext(aiter(requests), None)
    if first is None or not first.HasField("settings"):
        raise InvalidField("settings", "must be what the first message holds")
    attack = first.settings.attack
    for name in ("images", "row_settings"):
        if attack.HasField(name):
            raise InvalidField(f"settings.attack.{name}", "cannot be given with a stream")
    for name, given in (
        ("labels", attack.labels),
        ("targets", attack.targets),
        ("first_row", attack.first_row),
    ):
        if given:
            raise InvalidField(
                f"settings.attack.{name}", "cannot be given with a stream: each image has its own"
            )
    return first.settings


class Flow:
    """The images of one call on their way: read, decoded, gathered into jobs, answered."""

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
        self._ready: asyncio.Queue[Image | None] = asyncio.Queue()
        self._job_rows = max(1, min(most, compute.engine.limits.tick_rows) // 2)

    async def run(self, requests: AsyncIterator[pb.AttackStreamRequest]) -> None:
        """Answer every image of the requests. What it raises ends the call."""
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
            within("image.image (its number of images)", wire_images.count(message.image), 1, 1)
            self._check(message)
            x = await self._compute.decode_images(message.image, self._model.preprocessing)
        except Exception as error:  # noqa: BLE001 - one bad image, which its own answer says
            self._refuse([message.id], error)
        else:
            self._ready.put_nowait(Image(message, x))

    def _check(self, message: pb.AttackStreamImage) -> None:
        for name in ("label", "target"):
            if message.HasField(name):
                within(f"image.{name}", getattr(message, name), 0, self._model.network.classes - 1)
        if (
            message.HasField("target")
            and message.HasField("label")
            and message.target == message.label
        ):
            raise InvalidField("image.target", "is the image's own label")
        if message.HasField("epsilon"):
            if self._request.WhichOneof("search") == "epsilon_search":
                raise InvalidField("image.epsilon", "cannot be given with epsilon_search")
            p = wire_methods.norm(self._request.norm, "norm")
            wire_methods.radius(message.epsilon, p, "image.epsilon", self._model)

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

    async def _attack(self, images: list[Image]) -> None:
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
        for answer in await self._compute.run_in_pool(self._answers, images, found):
            self.answers.put_nowait(answer)

    async def _solve(self, images: list[Image]) -> Found:
        x = torch.cat([image.x for image in images])
        prepared = self._prepared(images)
        interactive = self._request.priority == types_pb2.PRIORITY_INTERACTIVE
        priority = Priority.INTERACTIVE if interactive else Priority.BATCH
        memory = x.nbytes * wire_images.STATE_COPIES
        return await self._compute.solve_patiently(
            self._model,
            prepared(x),
            memory,
            priority,
            self._request.deterministic,
            deadline_of(self._context),
        )

    def _prepared(self, images: list[Image]) -> Prepared:
        messages = [image.message for image in images]
        request = pb.AttackRequest()
        request.CopyFrom(self._request)
        seeds: Seeds = [(request.seed, m.id) for m in messages]
        labelled, targeted = images[0].kind
        labels = torch.tensor([m.label for m in messages]) if labelled else None
        targets = torch.tensor([m.target for m in messages]) if targeted else None
        if any(m.HasField("epsilon") for m in messages):
            request.row_settings.epsilons.extend(
                m.epsilon if m.HasField("epsilon") else request.epsilon for m in messages
            )
        if targeted:
            request.targets.extend(m.target for m in messages)
        return prepare(request, self._model, len(images), labels, targets, seeds)

    def _answers(self, images: list[Image], found: Found) -> list[pb.AttackStreamResponse]:
        rows = wire_attack.attack_rows(found.attacked, found.minimal)
        as_png = self._request.format == pb.IMAGE_FORMAT_PNG
        files = pngs(found.attacked.images) if as_png else [b""] * len(images)
        answers = []
        for number, (image, row, file) in enumerate(zip(images, rows, files, strict=True)):
            attacked = pb.AttackedImage(row=row, png=file, warnings=found.attacked.warnings)
            if not as_png:
                attacked.image.CopyFrom(
                    wire_tensors.from_array(found.attacked.images[number : number + 1].numpy())
                )
            answers.append(pb.AttackStreamResponse(id=image.message.id, attacked=attacked))
        return answers

    def _refuse(self, ids: list[int], error: Exception) -> None:
        if row_of(error).code is grpc.StatusCode.INTERNAL:
            log.error("image of a stream", ids=ids, request_id=request_id.get(), exc_info=error)
        for number in ids:
            self.answers.put_nowait(
                pb.AttackStreamResponse(id=number, error=status_of(error, request_id.get()))
            )
