"""From the bytes of a request to its message: size, counts, then parsing, each before the next."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from service.rpc.doors import wire_format
from service.rpc.doors.limits import most_bytes
from service.rpc.doors.wire_format import Undecodable
from service.rpc.validation import InvalidField

QUICK = 16 * 2**10  # bytes that are counted and parsed within milliseconds


class Decoder:
    """Decodes the requests of all methods.

    Args:
        pool: where large ones are decoded; nothing else waits there, so that nobody has to wait
            for images to be decoded.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool

    async def request(self, data: "bytes | AsyncIterator[bytes]", kind: type[Message]) -> Any:
        """Decode what a method is called with.

        Args:
            data: the request on the wire, or a stream of them.
            kind: what each should be.

        Returns:
            The message, or an iterator over the messages, which raises as this does.

        Raises:
            InvalidField: it is larger than its method takes, or a list or string in it is longer
                than its limit.
            Undecodable: it is no message of this kind.
        """
        return (
            await self._message(data, kind) if isinstance(data, bytes) else self._each(data, kind)
        )

    async def _each(self, stream: AsyncIterator[bytes], kind: type[Message]) -> AsyncIterator[Any]:
        async for data in stream:
            yield await self._message(data, kind)

    async def _message(self, data: bytes, kind: type[Message]) -> Message:
        most = most_bytes(kind.DESCRIPTOR)
        if len(data) > most:
            raise InvalidField("request", f"has {len(data)} bytes, must have at most {most}")
        if len(data) <= QUICK:
            return _decode(data, kind)
        return await asyncio.get_running_loop().run_in_executor(self._pool, _decode, data, kind)


def _decode(data: bytes, kind: type[Message]) -> Message:
    wire_format.check(data, cast(Descriptor, kind.DESCRIPTOR))
    try:
        return kind.FromString(data)
    except DecodeError:
        raise Undecodable(kind.DESCRIPTOR.full_name) from None
