"""Adversarial examples for images that come one by one: read as answers are taken, and handed out
in order.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from striate._rpc.checks import number
from striate._rpc.warnings import warn
from striate.errors import BadImage, Internal, StriateError, invalid
from striate.images import as_batch, is_single
from striate.labels import Label, as_indices
from striate.results.attack_stream import StreamedImage
from striate.v1 import attack_pb2 as pb

if TYPE_CHECKING:
    import grpc

    from striate._rpc.caller import Caller
    from striate.images import One

    Own = Label | None
    Items = Iterable[
        One | tuple[One, Own] | tuple[One, Own, Own] | tuple[One, Own, Own, float | None]
    ]

_Event = (
    pb.AttackStreamResponse | StreamedImage | BaseException | None
)  # None: the server's end of the stream


def check_items(items: object) -> None:
    """Raises InvalidArgument for what is one image, or cannot be gone through."""
    one = is_single(items) and not hasattr(items, "__array__")
    if one or not (hasattr(items, "__iter__") or hasattr(items, "__getitem__")):
        raise invalid("images", f"must be an iterable of images, is {type(items).__name__}")


class Window:
    """Room for so many images between their reading and their handing out."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._closed = False
        self._changed = threading.Condition()

    def enter(self) -> bool:
        """Waits for room and takes it; False if the window is closed."""
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
        """Nobody enters any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@dataclass(frozen=True)
class Packer:
    """Turns what the caller gives into messages. first_id: number of the first image; target: class
    for images without their own.
    """

    classes: tuple[str, ...]
    first_id: int
    target: int | None

    def message(self, identity: int, item: object) -> pb.AttackStreamImage:
        """The message of one image. Raises a StriateError for whatever is wrong with it."""
        try:
            return self._message(identity, item)
        except StriateError:
            raise
        # files, decoders and arrays fail in many ways, and each is a fault of this one image
        except Exception as error:
            raise BadImage(f"image {identity}: {error}", reason="BAD_IMAGE") from error

    def _message(self, identity: int, item: object) -> pb.AttackStreamImage:
        image, label, target, epsilon = self._parts(item)
        batch = as_batch(image)
        if len(batch) != 1:
            raise invalid("image", f"must be one image, are {len(batch)}")
        batch.spans(0)  # refuses one that no message holds
        message = pb.AttackStreamImage(id=identity, image=batch.part(range(1)))
        for field, value in (
            ("label", label),
            ("target", self.target if target is None else target),
        ):
            if value is not None:
                setattr(message, field, *as_indices(value, 1, self.classes, field))
        if epsilon is not None:
            message.epsilon = number("epsilon", epsilon)
        return message

    def _parts(self, item: object) -> tuple[Any, Any, Any, Any]:
        """(image, label, target, epsilon), filled up with None."""
        given = item if isinstance(item, tuple) else (item,)
        if not 1 <= len(given) <= 4:
            raise invalid(
                "image",
                f"must be an image or (image, label, target, epsilon), is a tuple of {len(given)}",
            )
        image, label, target, epsilon = (*given, None, None, None)[:4]
        return image, label, target, epsilon


class Stream:
    """One AttackStream call.

    Three threads share it: gRPC's, which reads the images; one that receives; and the caller's,
    which alone takes what the two others put into `_events`, so that a bad image is handed out even
    while the server has nothing to say.
    """

    def __init__(
        self,
        caller: Caller,
        method: grpc.StreamStreamMultiCallable[pb.AttackStreamRequest, pb.AttackStreamResponse],
        settings: pb.AttackStreamSettings,
        packer: Packer,
        size: int,
    ) -> None:
        self._caller = caller
        self._method = method
        self._settings = settings
        self._packer = packer
        self._window = Window(size)
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._unanswered: set[int] = set()
        self._read_all = False
        self._failure: BaseException | None = None  # of the caller's iterable

    def run(
        self, items: Items, ordered: bool, timeout: float | None
    ) -> Generator[StreamedImage, None, None]:
        """Reads the items and hands out their outcomes; the call begins with the first `next`."""
        told: set[str] = set()
        with self._caller.conversation(self._method, self._requests(items), timeout) as answers:
            try:
                threading.Thread(
                    target=self._receive, args=(answers,), name="striate-stream", daemon=True
                ).start()
                for image in self._in_order() if ordered else self._outcomes():
                    self._window.leave()
                    warn((message for message in image.warnings if message not in told), depth=1)
                    told.update(image.warnings)
                    yield image
            finally:
                self._window.close()

    def _requests(self, items: Items) -> Iterator[pb.AttackStreamRequest]:
        """Runs in gRPC's thread, which takes the next request when the one before is on its way."""
        yield pb.AttackStreamRequest(settings=self._settings)
        try:
            for identity, item in enumerate(self._admitted(items), self._packer.first_id):
                self._unanswered.add(identity)
                try:
                    yield pb.AttackStreamRequest(image=self._packer.message(identity, item))
                except StriateError as error:
                    self._events.put(StreamedImage.failed(identity, error))
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

    def _receive(self, answers: Iterator[pb.AttackStreamResponse]) -> None:
        try:
            for answer in answers:
                self._events.put(answer)
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
        following = self._packer.first_id
        for image in self._outcomes():
            early[image.id] = image
            while following in early:
                yield early.pop(following)
                following += 1
