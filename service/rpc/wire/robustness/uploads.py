"""Between the messages of uploads and the rows of data sets, checked like everything in `wire`."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from service.imaging import MAX_BYTES, BadImage, encode_png, open_image
from service.rpc.validation import InvalidField, required, within
from service.rpc.wire import images as wire_images
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import audit_pb2 as pb
from striate.v1 import types_pb2

MOST_CLASSES = 100_000
MOST_CLASS_BYTES = 4 * 2**20  # of all class names of an upload: every listing carries them


def classes(message: pb.UploadDatasetRequest) -> tuple[str, ...]:
    """Read the class names of an upload's first message.

    Args:
        message: the first of the upload.

    Returns:
        The names by label; empty if none were sent.

    Raises:
        InvalidField: there are too many, one is empty or long, or all together are.
    """
    if len(message.classes) > MOST_CLASSES:
        raise InvalidField(
            "classes", f"there are {len(message.classes)}, must be at most {MOST_CLASSES}"
        )
    for number, name in enumerate(message.classes):
        required(f"classes[{number}]", name)
    if (size := sum(len(name.encode()) for name in message.classes)) > MOST_CLASS_BYTES:
        raise InvalidField(
            "classes", f"take {size} bytes of UTF-8, must be at most {MOST_CLASS_BYTES}"
        )
    return tuple(message.classes)


def rows(
    message: pb.UploadDatasetRequest, first: int, names: Sequence[str]
) -> Iterator[tuple[bytes, int]]:
    """Read the images and labels of a message. Encodes: not for the event loop.

    Encoded images are not decoded, but a file whose header is of none of the formats is refused,
    unless the message says that such files are left out later.

    Args:
        first: number of the message's first image in the whole upload, for errors.
        names: the upload's class names, if it has any.

    Returns:
        (image file, label) of each image.

    Raises:
        InvalidField: labels or a tensor do not fit.
        InvalidImage: a file is too large, or of none of the formats.
    """
    batch = message.images
    count = wire_images.count(batch)
    if len(message.labels) != count:
        raise InvalidField("labels", f"there are {len(message.labels)} for {count} images")
    most = len(names) or MOST_CLASSES
    for number, label in enumerate(message.labels, start=first):
        within(f"labels[{number}]", label, 0, most - 1)
    if not batch.encoded:
        images: Iterable[bytes] = _encoded(batch)
    elif message.skip_bad:  # whoever reads them leaves out what is none
        images = batch.encoded
    else:
        images = map(_checked, batch.encoded, range(first, first + count))
    return zip(images, message.labels, strict=True)


def _checked(data: bytes, number: int) -> bytes:
    """An image file whose header can be read."""
    field = f"images.encoded[{number}]"
    if len(data) > MAX_BYTES:
        raise wire_images.InvalidImage(
            field, f"the image file has {len(data)} bytes; at most {MAX_BYTES} are allowed"
        )
    try:
        open_image(data).close()
    except BadImage as error:
        raise wire_images.InvalidImage(field, str(error)) from error
    return data


def _encoded(batch: types_pb2.ImageBatch) -> Iterator[bytes]:
    """PNG files of an array (N, H, W, C) uint8."""
    levels = wire_tensors.to_array(batch.tensor, "images.tensor")
    if levels.dtype != np.uint8:
        raise InvalidField("images.tensor.dtype", "must be DATA_TYPE_UINT8")
    if levels.ndim != 4 or levels.shape[3] not in (1, 3, 4):
        raise InvalidField(
            "images.tensor.shape", f"is {levels.shape}, must be (N, H, W, C) with C 1, 3 or 4"
        )
    gray = levels.shape[3] == 1
    images = levels.squeeze(3) if gray else levels
    return (encode_png(Image.fromarray(np.ascontiguousarray(image))) for image in images)
