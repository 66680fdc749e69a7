"""Audits of models on a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate._api import datasets, models
from striate._api.operation import Operation
from striate._requests.audit import as_models, audit_request
from striate.errors import invalid
from striate.results.audit import AuditReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from striate._api.context import Connection
    from striate.images import Images
    from striate.images.labels import Labels


def audit(
    connection: Connection,
    names: str | Sequence[str],
    dataset: str | None,
    images: Images | None,
    labels: Labels | None,
    timeout: float | None,
    **settings: Any,
) -> Operation:
    """Starts an audit, see Service.audit.

    Args:
        connection: To the server.
        names: Name of one model, or names of several.
        dataset: Name of a labelled data set of the server, None with images.
        images: The caller's own images, which are uploaded first, None with a data set.
        labels: Their labels, None with a data set.
        timeout: Seconds for the upload and the start, None for the connection's default.
        settings: The other arguments of Service.audit.

    Returns:
        The operation.

    Raises:
        InvalidArgument: A value is out of its range, or neither or both of dataset and images are
            given.
        StriateError: The server refused or failed.
    """
    chosen = as_models(names)
    if (dataset is None) == (images is None):
        raise invalid("dataset", "must be named, or images given in its place; not both")
    request = audit_request(chosen, dataset or "", **settings)
    deadline = connection.caller.deadline(timeout)
    if images is not None:
        if labels is None:
            raise invalid("labels", "are required with images")
        classes = models.find(connection, chosen[0], deadline.remaining()).info.classes
        request.dataset = datasets.upload(
            connection, images, labels, classes, deadline.remaining(), request.skip_bad
        )
    state = connection.caller.unary(connection.robustness.Audit, request, deadline.remaining())
    return Operation(connection.operations, state)


def report(connection: Connection, operation: str, timeout: float | None) -> AuditReport:
    """Waits for the report of an audit.

    Args:
        connection: To the server.
        operation: Name of the audit's operation.
        timeout: Seconds, None for as long as it takes.

    Returns:
        The report.

    Raises:
        InvalidArgument: The operation is no audit.
        StriateError: There is no such operation, or the audit failed.
    """
    state = connection.operations.get(operation, timeout)
    found: Any = Operation(connection.operations, state).wait(timeout=timeout)
    if not isinstance(found, AuditReport):
        raise invalid("operation", f"{operation!r} is no audit")
    return found
