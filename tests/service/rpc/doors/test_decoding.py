"""Requests become messages, large ones elsewhere than on the event loop, and no others do."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.protobuf.descriptor import Descriptor

from service.rpc.doors import wire_format
from service.rpc.doors.decoding import QUICK, Decoder
from service.rpc.doors.limits import SMALL
from service.rpc.doors.wire_format import Undecodable
from service.rpc.validation import InvalidField
from striate.v1 import interpret_pb2, model_pb2, types_pb2

SHORT = interpret_pb2.ClassifyRequest(model="m", k=3)
LONG = interpret_pb2.ClassifyRequest(
    model="m", images=types_pb2.ImageBatch(encoded=[b"a" * (QUICK + 1)])
)


def test_messages_arrive_whole_large_ones_by_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    where = list[str]()
    check = wire_format.check

    def noted(data: bytes, message: Descriptor) -> None:
        where.append(threading.current_thread().name)
        check(data, message)

    monkeypatch.setattr(wire_format, "check", noted)

    async def run() -> None:
        with ThreadPoolExecutor(1, "doors") as pool:
            decoder = Decoder(pool)
            for message in (SHORT, LONG):
                data = message.SerializeToString()
                assert await decoder.request(data, type(message)) == message

    asyncio.run(run())
    assert [name.startswith("doors") for name in where] == [False, True]


def test_a_stream_ends_at_the_first_request_that_is_none() -> None:
    async def sent() -> AsyncIterator[bytes]:
        yield SHORT.SerializeToString()
        yield b"\xff" * 9
        yield SHORT.SerializeToString()

    found = list[object]()

    async def run() -> None:
        with ThreadPoolExecutor(1) as pool:
            async for message in await Decoder(pool).request(sent(), interpret_pb2.ClassifyRequest):
                found.append(message)

    with pytest.raises(Undecodable):
        asyncio.run(run())
    assert found == [SHORT]


@pytest.mark.parametrize(
    ("data", "kind", "error"),
    [
        (b"\n" + b"\x01a" * 3, model_pb2.GetModelRequest, Undecodable),
        (b"\x0a\x01\xff", model_pb2.GetModelRequest, Undecodable),  # no UTF-8
        (b"\x00" * (SMALL + 1), model_pb2.GetModelRequest, InvalidField),
    ],
)
def test_what_is_no_request_is_refused(
    data: bytes, kind: type[model_pb2.GetModelRequest], error: type[Exception]
) -> None:
    async def run() -> None:
        with ThreadPoolExecutor(1) as pool:
            await Decoder(pool).request(data, kind)

    with pytest.raises(error) as caught:
        asyncio.run(run())
    assert getattr(caught.value, "field") == "request"  # noqa: B009
