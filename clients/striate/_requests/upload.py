"""A data set of the caller's own, as the messages of an upload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

from striate._requests.share import share_words
from striate._rpc.checks import ordered
from striate.errors import InvalidArgument, invalid
from striate.errors.rows import moved
from striate.images import as_batch, is_single
from striate.images.labels import Labels, as_indices, is_single_label
from striate.v1 import audit_pb2 as pb

if TYPE_CHECKING:
    from striate.images import Images

_READ_AT_ONCE = 256  # images of an iterable that are in memory at a time


def upload_requests(
    images: Images,
    labels: Labels,
    classes: Sequence[str],
    skip_bad: bool = False,
    names: list[str] | None = None,
    share: str | Iterable[str] = (),
) -> Iterator[pb.UploadDatasetRequest]:
    """Makes the messages of an upload one by one, so that files are read a few at a time.

    Args:
        images: The images, as `striate.images.as_batch` takes them; an iterable is read as it goes.
        labels: The class of each image, index or name, or one for all.
        classes: Names of the classes, which go with the data set and by which labels may be given.
        skip_bad: Files that are no images are kept, for requests that leave them out.
        names: Grows by what each image that is read is called, "" for one without a name.
        share: Callers and roles who may use the data set, too.

    Yields:
        The messages.

    Raises:
        InvalidArgument: Images are neither files nor uint8, or labels are not one an image.
    """
    if labels is None:
        raise invalid("labels", "are required, one an image")
    shared = share_words(share)
    sent, label_iterator = 0, _one_by_one(labels)
    for some in _groups(images):
        with _counting_from(sent):
            batch = as_batch(some)
        if names is not None:
            names += batch.names or [""] * len(batch)
        if batch.array is not None and batch.array.dtype.kind != "u":
            raise invalid(
                "images",
                "must be files or uint8: (255 * images).round().astype('uint8'), as (N, H, W, C)",
            )
        given = list(islice(label_iterator, len(batch)))
        if len(given) < len(batch):
            raise invalid(
                "labels",
                f"must be one an image, or a single one for all; are {sent + len(given)}, "
                f"and there are more images",
            )
        with _counting_from(sent):
            indices = as_indices(given, len(batch), classes, "labels")
        for rows in batch.spans(0):
            start = not sent and not rows.start
            yield pb.UploadDatasetRequest(
                images=batch.message(rows),
                labels=indices[rows.start : rows.stop],
                classes=classes if start else (),
                skip_bad=skip_bad,
                share=shared if start else (),
            )
        sent += len(batch)
    if not sent:
        raise invalid("images", "must hold at least one image")
    if not is_single_label(labels) and next(label_iterator, None) is not None:
        raise invalid("labels", f"must be one an image, {sent}, or a single one for all; are more")


@contextmanager
def _counting_from(first: int) -> Iterator[None]:
    """Errors about a group of images count their rows from the first image of all."""
    try:
        yield
    except InvalidArgument as error:
        raise moved(error, first) from error.__cause__


def _one_by_one(labels: Any) -> Iterator[Any]:
    if is_single_label(labels):
        return repeat(labels)
    return iter(ordered("labels", labels, "one an image, or a single one for all"))


def _groups(images: Images) -> Iterator[Any]:
    """The images argument, an iterable that is no array in groups."""
    if is_single(images) or not isinstance(images, Iterable):
        yield images
        return
    source = iter(images)
    while group := list(islice(source, _READ_AT_ONCE)):
        yield group
