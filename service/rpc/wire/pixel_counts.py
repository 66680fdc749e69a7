"""How many pixels the images of a request have, from their headers alone, and whether they may."""

from collections.abc import Iterator, Sequence

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from service.imaging import BadImage, Preprocessing, open_image
from service.imaging.decoding import LEAST, DecodeLimits, check_wanted
from service.rpc.wire.images import InvalidImage
from striate.v1 import types_pb2

TOGETHER = 2**20  # pixels of small images that are decoded in one step


def pixel_counts(
    batch: types_pb2.ImageBatch,
    rows: range,
    preprocessing: Preprocessing,
    limits: DecodeLimits,
    field: str = "images",
) -> list[int]:
    """Count the pixels of images. Reads headers: not for the event loop.

    Args:
        batch: of the request, of as many images as are allowed.
        rows: numbers of the images in the batch.
        preprocessing: how the model takes images.
        limits: of one image.
        field: the request's field, for errors.

    Returns:
        The pixels of each image, or those that it is resized to if they are more: at least `LEAST`.

    Raises:
        InvalidImage: a header cannot be read, or says more pixels than one image may have.
        Abandoned: the call has ended meanwhile.
    """
    if not batch.encoded:
        high, wide = [*batch.tensor.shape, 0, 0, 0][1:3]
        if high < 1 or wide < 1:  # no images: whoever reads them says so
            return [LEAST] * len(rows)
        return [_cost(wide, high, preprocessing, limits, f"{field}.tensor")] * len(rows)
    return [
        _of_file(batch.encoded[number], preprocessing, limits, f"{field}.encoded[{number}]")
        for number in rows
    ]


def check_request(
    batch: types_pb2.ImageBatch,
    counts: Sequence[int],
    limits: DecodeLimits,
    field: str = "images",
    before: int = 0,
) -> None:
    """Refuse a request whose images together have too many pixels.

    Args:
        batch: of the request.
        counts: of its images.
        limits: of one request.
        field: the request's field, for errors.
        before: pixels of the request's other images.

    Raises:
        InvalidImage: naming the first image that is too many.
    """
    total = before
    for number, pixels in enumerate(counts):
        total += pixels
        if total > limits.request:
            raise InvalidImage(
                f"{field}.encoded[{number}]" if batch.encoded else f"{field}.tensor",
                f"the images of the request have {before + sum(counts)} pixels, and with number "
                f"{number} pass the {limits.request} that one request may have: send fewer",
            )


def image_batches(message: Message, field: str = "") -> Iterator[tuple[str, types_pb2.ImageBatch]]:
    """Find all images that a request holds.

    Args:
        message: the request, or a part of it.
        field: path of the part, for errors.

    Yields:
        Each batch that is not empty, with its path.
    """
    for descriptor, value in message.ListFields():
        if descriptor.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        path = f"{field}.{descriptor.name}".removeprefix(".")
        if isinstance(value, Message):
            parts = [(path, value)]
        elif hasattr(value, "keys"):  # a map, in which the contract keeps no images
            parts = []
        else:
            parts = [(f"{path}[{number}]", each) for number, each in enumerate(value)]
        for place, part in parts:
            if isinstance(part, types_pb2.ImageBatch):
                yield place, part
            else:
                yield from image_batches(part, place)


def together(counts: Sequence[int], rows: range) -> Iterator[range]:
    """Cut images into runs that are decoded in one step each: a large one alone, small ones
    together.

    Args:
        counts: pixels of all images of a batch.
        rows: the images.
    """
    first, total = rows.start, 0
    for number in rows:
        if number > first and total + counts[number] > TOGETHER:
            yield range(first, number)
            first, total = number, 0
        total += counts[number]
    if first < rows.stop:
        yield range(first, rows.stop)


def _of_file(data: bytes, preprocessing: Preprocessing, limits: DecodeLimits, field: str) -> int:
    check_wanted()
    try:
        with open_image(data) as image:
            return _cost(image.width, image.height, preprocessing, limits, field)
    except InvalidImage:
        raise
    except BadImage as error:
        raise InvalidImage(field, str(error)) from error


def _cost(
    width: int, height: int, preprocessing: Preprocessing, limits: DecodeLimits, field: str
) -> int:
    if width * height > limits.image:
        raise InvalidImage(
            field,
            f"the image has {width} x {height} pixels; at most {limits.image} are allowed",
        )
    try:
        resized = preprocessing.resized(width, height)
    except BadImage as error:
        raise InvalidImage(field, str(error)) from error
    return max(LEAST, width * height, resized[0] * resized[1])
