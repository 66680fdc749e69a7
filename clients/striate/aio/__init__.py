"""The client for programs that run an event loop: the same handles, awaited.

from striate import aio

async with aio.connect("localhost:50051") as service:
    net = await service.model("cifar10-plain")
    async with net.visualize("layer2.0:7", preview_every=8) as pictures:
        async for progress in pictures:
            ...
    result = pictures.result

A coroutine that is cancelled cancels its call on the server. Requests are made and results are read
by the code of `striate.connect`'s handles, in threads; the calls are those of grpc.aio.
"""

from striate.aio.model import AsyncModel
from striate.aio.operation import AsyncOperation
from striate.aio.pictures import AsyncLayerPictures, PictureStream
from striate.aio.service import AsyncService, connect

__all__ = [
    "AsyncLayerPictures",
    "AsyncModel",
    "AsyncOperation",
    "AsyncService",
    "PictureStream",
    "connect",
]
