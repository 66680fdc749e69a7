"""A stream of attacks: images are read as responses are taken, and handed out in order."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING

from striate._rpc.warnings import warn
from striate.errors import Internal, StriateError
from striate.results.attack import StreamedImage
from striate.v1 import attack_pb2 as pb

if TYPE_CHECKING:
    import grpc

    from striate._requests.attack_stream import ItemEncoder, Items
    from striate._rpc.caller import Caller

_Event = (
    pb.AttackStreamResponse | StreamedImage | BaseException | None
)  # None: the server's end of the stream


class ReadAheadWindow:
    """Room for so many images between their reading and their handing out.

    Args:
        size: How many images.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._closed = False
        self._changed = threading.Condition()

    def enter(self) -> bool:
        """Waits for room and takes it.

        Returns:
            Whether there is room; False if the window is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._free > 0)
            self._free -= not self._closed
            return not self._closed

    def leave(self) -> None:
        """Gives room back."""
        with self._changed:
            self._free += 1
            self._changed.notify()

    def close(self) -> None:
        """Lets nobody enter any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class AttackStream:
    """One AttackStream call.

    Three threads share it: gRPC's, which reads the images; one that receives; and the caller's,
    which alone takes what the two others put into `_events`, so that a bad image is handed out even
    while the server has nothing to say.

    Args:
        caller: The connection.
        method: The stub's method.
        settings: The first message.
        encoder: Turns the items into messages.
        size: Images that may be read but not yet handed out.
    """

    def __init__(
        self,
        caller: Caller,
        method: grpc.StreamStreamMultiCallable[pb.AttackStreamRequest, pb.AttackStreamResponse],
        settings: pb.AttackStreamSettings,
        encoder: ItemEncoder,
        size: int,
    ) -> None:
        self._caller = caller
        self._method = method
        self._settings = settings
        self._encoder = encoder
        self._window = ReadAheadWindow(size)
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._unanswered: set[int] = set()
        self._read_all = False
        self._failure: BaseException | None = None  # of the caller's iterable

    def run(
        self, items: Items, ordered: bool, timeout: float | None
    ) -> Generator[StreamedImage, None, None]:
        """Reads the items and hands out their outcomes; the call begins with the first `next`.

        Args:
            items: The items, see Model.attack_stream.
            ordered: Hand out in the order of the items, or else as outcomes come.
            timeout: Seconds for the whole stream, None for no limit.

        Yields:
            The outcomes.

        Raises:
            StriateError: What ended the stream before its time.
            BaseException: Whatever the iterable raised, behind the images that it gave before.
        """
        issued: set[str] = set()
        requests = self._requests(items)
        with self._caller.conversation(self._method, requests, timeout) as responses:
            try:
                threading.Thread(
                    target=self._receive, args=(responses,), name="striate-stream", daemon=True
                ).start()
                for image in self._in_order() if ordered else self._outcomes():
                    self._window.leave()
                    warn((message for message in image.warnings if message not in issued), depth=1)
                    issued.update(image.warnings)
                    yield image
            finally:
                self._window.close()

    def _requests(self, items: Items) -> Iterator[pb.AttackStreamRequest]:
        """Runs in gRPC's thread, which takes the next request when the one before is on its way."""
        yield pb.AttackStreamRequest(settings=self._settings)
        try:
            for image_id, item in enumerate(self._admitted(items), self._encoder.first_id):
                self._unanswered.add(image_id)
                try:
                    yield pb.AttackStreamRequest(image=self._encoder.message(image_id, item))
                except StriateError as error:
                    self._events.put(StreamedImage.failed(image_id, error))
        except GeneratorExit:  # gRPC has dropped the call
            raise
        except BaseException as error:  # noqa: BLE001 - raised to the caller behind the images that were read before; SystemExit too
            self._failure = error
        self._read_all = True

    def _admitted(self, items: Items) -> Iterator[object]:
        """The items, each read only when there is room for it."""
        source = iter(items)
        while self._window.enter():
            try:
                item = next(source)
            except StopIteration:
                return
            yield item

    def _receive(self, responses: Iterator[pb.AttackStreamResponse]) -> None:
        try:
            for response in responses:
                self._events.put(response)
        except StriateError as error:
            self._events.put(error)
        else:
            self._events.put(None)

    def _outcomes(self) -> Iterator[StreamedImage]:
        """One for each image, as they come. Raises what ended the stream before its time."""
        while (event := self._events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            if event.id not in self._unanswered:
                raise Internal(f"the server answered image {event.id}, which is not under way")
            self._unanswered.discard(event.id)
            yield event if isinstance(event, StreamedImage) else StreamedImage.read(event)
        if not self._read_all or self._unanswered:
            raise Internal(
                f"the server ended the stream with {len(self._unanswered)} images unanswered"
            )
        if self._failure is not None:
            raise self._failure

    def _in_order(self) -> Iterator[StreamedImage]:
        """The same in the order of the images; those that wait for an earlier one keep their room
        in the window.
        """
        early: dict[int, StreamedImage] = {}
        following = self._encoder.first_id
        for image in self._outcomes():
            early[image.id] = image
            while following in early:
                yield early.pop(following)
                following += 1
