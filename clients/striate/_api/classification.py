"""What a model takes images for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate._rpc.batching import check_count, send
from striate._rpc.checks import at_least
from striate.images import as_batch, naming
from striate.results.classification import Classifications, Prediction
from striate.v1 import interpret_pb2

if TYPE_CHECKING:
    from striate._api.context import ModelContext
    from striate.images import Images

_PREDICTION_BYTES = 16  # of one prediction on the wire beside its label


def classify(net: ModelContext, images: Images, k: int, timeout: float | None) -> Classifications:
    """Finds the most probable classes of images, see Model.classify.

    Args:
        net: The model, with its connection.
        images: As `as_batch` takes them.
        k: Number of classes of an image, at least 1.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The classes of every image, in order.
    """
    at_least(1, k=k)
    batch, classes = as_batch(images), net.info.classes
    longest = max((len(name.encode()) for name in classes), default=0)
    spans = batch.spans(min(k, len(classes) or k) * (longest + _PREDICTION_BYTES))

    def request(rows: range) -> interpret_pb2.ClassifyRequest:
        return interpret_pb2.ClassifyRequest(model=net.info.name, images=batch.message(rows), k=k)

    with naming(batch.names):
        responses, provenance = send(net.caller, net.interpret.Classify, spans, request, timeout)
    found = [
        [Prediction(p.label, p.index, p.probability) for p in image.predictions]
        for response in responses
        for image in response.images
    ]
    check_count(len(found), len(batch))
    return Classifications(found, provenance)
