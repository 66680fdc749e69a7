"""The data sets of a server: listing, reading and uploading them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from striate._requests.upload import upload_requests
from striate._rpc.checks import at_least
from striate.images import naming
from striate.results.datasets import DATASET_COLUMNS, DatasetInfo, LeftOutImage, Sample, Samples
from striate.results.listing import Listing
from striate.v1 import interpret_pb2

if TYPE_CHECKING:
    from striate._api.context import Connection
    from striate.images import Images
    from striate.images.labels import Labels

# the most that a server takes; it answers fewer where they would not fit into one message
_SAMPLES_A_CALL = 1024


def list_datasets(
    connection: Connection, model: str | None, timeout: float | None
) -> list[DatasetInfo]:
    """Lists the data sets, page by page, with what they have to do with a model.

    Args:
        connection: To the server.
        model: Its name; None for none.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The data sets.
    """
    deadline, found, token = connection.caller.deadline(timeout), list[DatasetInfo](), ""
    while True:
        request = interpret_pb2.ListDatasetsRequest(model=model or "", page_token=token)
        method = connection.interpret.ListDatasets
        response = connection.caller.unary(method, request, deadline.remaining())
        found += map(DatasetInfo.read, response.datasets)
        token = response.next_page_token
        if not token:
            return Listing(found, DATASET_COLUMNS)


def delete(connection: Connection, name: str, timeout: float | None) -> int:
    """Removes an uploaded data set.

    Args:
        connection: To the server.
        name: Of the data set.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The bytes of the server's disk that are free again.
    """
    request = interpret_pb2.DeleteDatasetRequest(dataset=name)
    return connection.caller.unary(connection.interpret.DeleteDataset, request, timeout).freed_bytes


def read_samples(
    connection: Connection,
    dataset: str,
    first: int,
    count: int,
    timeout: float | None,
    skip_bad: bool = False,
) -> Samples:
    """Reads consecutive images of a data set, in several calls if need be.

    Args:
        connection: To the server.
        dataset: Its name.
        first: Number of the first image, at least 0.
        count: Number of images at most, at least 1.
        timeout: Seconds for all of it, None for the connection's default.
        skip_bad: Leave out images that cannot be used.

    Returns:
        The images, fewer at the end of the data set and where some are left out.
    """
    at_least(0, first=first)
    at_least(1, count=count)
    caller = connection.caller
    deadline, stop = caller.deadline(timeout), first + count
    samples, left_out = list[Sample](), list[LeftOutImage]()
    while first < stop:
        request = interpret_pb2.ReadSamplesRequest(
            dataset=dataset,
            first=first,
            count=min(_SAMPLES_A_CALL, stop - first),
            skip_bad=skip_bad,
        )
        response = caller.unary(connection.interpret.ReadSamples, request, deadline.remaining())
        last = [one.id for one in response.samples[-1:]]
        last += [one.id for one in response.left_out[-1:]]
        if not last:
            break
        first = max(last) + 1
        samples += map(Sample.read, response.samples)
        left_out += map(LeftOutImage.read, response.left_out)
    return Samples(samples, left_out)


def upload(
    connection: Connection,
    images: Images,
    labels: Labels,
    classes: Sequence[str],
    timeout: float | None,
    skip_bad: bool = False,
    share: str | Iterable[str] = (),
) -> str:
    """Uploads images and labels, which the server keeps.

    Args:
        connection: To the server.
        images: That are kept.
        labels: One an image.
        classes: Names by label.
        timeout: Seconds for all of it, None for the connection's default.
        skip_bad: Files that are no images are kept, for requests that leave them out.
        share: Callers and roles who may use it, too.

    Returns:
        The data set's name.
    """
    names = list[str]()
    requests = upload_requests(images, labels, classes, skip_bad, names, share)
    with naming(names):
        feed, method = connection.caller.feed, connection.robustness.UploadDataset
        return feed(method, requests, timeout).dataset
