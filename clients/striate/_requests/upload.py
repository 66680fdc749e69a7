"""A data set of the caller's own, as the messages of an upload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

from striate.errors import invalid
from striate.images import as_batch, is_single
from striate.labels import Labels, as_indices
from striate.v1 import audit_pb2 as pb

if TYPE_CHECKING:
    from striate.images import Images

_READ_AT_ONCE = 256  # images of an iterable that are in memory at a time


def parts(
    images: Images, labels: Labels, classes: Sequence[str], known: Sequence[str]
) -> Iterator[pb.UploadDatasetRequest]:
    """The messages, made as they are asked for, so that files are read a few at a time.

    classes: names that go with the data set; known: names by which labels may be given. Raises
    InvalidArgument for images that are no files or uint8, and for labels that are not one an image.
    """
    if labels is None:
        raise invalid("labels", "are required, one an image")
    sent, each = 0, _one_by_one(labels)
    for some in _groups(images):
        batch = as_batch(some)
        if batch.array is not None and batch.array.dtype.kind != "u":
            raise invalid(
                "images",
                "must be files or uint8: (255 * images).round().astype('uint8'), as (N, H, W, C)",
            )
        given = list(islice(each, len(batch)))
        if len(given) < len(batch):
            raise invalid(
                "labels",
                f"must be one an image, or a single one for all; are {sent + len(given)}, "
                f"and there are more images",
            )
        indices = as_indices(given, len(batch), known, "labels")
        for rows in batch.spans(0):
            start = not sent and not rows.start
            yield pb.UploadDatasetRequest(
                images=batch.part(rows),
                labels=indices[rows.start : rows.stop],
                classes=classes if start else (),
            )
        sent += len(batch)
    if not sent:
        raise invalid("images", "must hold at least one image")
    if not _is_single(labels) and next(each, None) is not None:
        raise invalid("labels", f"must be one an image, {sent}, or a single one for all; are more")


def _is_single(labels: object) -> bool:
    return (
        isinstance(labels, str)
        or not isinstance(labels, Iterable)
        or getattr(labels, "ndim", 1) == 0
    )


def _one_by_one(labels: Any) -> Iterator[Any]:
    return repeat(labels) if _is_single(labels) else iter(labels)


def _groups(images: Images) -> Iterator[Any]:
    """The images argument, an iterable that is no array in groups."""
    if is_single(images) or not isinstance(images, Iterable):
        yield images
        return
    source = iter(images)
    while group := list(islice(source, _READ_AT_ONCE)):
        yield group
