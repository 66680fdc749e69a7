"""The handle on one model: classes here; what it is made of, what its units see and what fools it
in the bases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate._api.attacks import Fooling
from striate._api.attributions import Attributing
from striate._api.exemplars import Answering
from striate._api.layers import Measuring
from striate._api.visualizations import Visualizing
from striate._rpc.batching import check_count, send
from striate._rpc.caller import Caller
from striate._rpc.checks import at_least
from striate.images import as_batch
from striate.results.classification import Classifications, Prediction
from striate.results.models import Layer, ModelInfo
from striate.v1 import interpret_pb2, interpret_pb2_grpc, model_pb2, robustness_pb2_grpc

if TYPE_CHECKING:
    from striate.images import Images

_PREDICTION_BYTES = 16  # of one prediction on the wire beside its label


class Model(Fooling, Visualizing, Measuring, Answering, Attributing):
    """One loaded model. Every call takes `timeout` in seconds (None: the connection's), raises a
    StriateError, and on Ctrl-C is cancelled on the server too.
    """

    def __init__(self, caller: Caller, description: model_pb2.GetModelResponse) -> None:
        self._caller = caller
        self._interpret = interpret_pb2_grpc.InterpretServiceStub(caller.channel)
        self._robustness = robustness_pb2_grpc.RobustnessServiceStub(caller.channel)
        self.info = ModelInfo.read(description.model)
        self.layers = [
            Layer.read(layer) for layer in description.layers
        ]  # in the order of the forward pass

    def __repr__(self) -> str:
        height, width = self.input_size
        return (
            f"Model({self.name!r}, {self.info.channels}x{height}x{width}, {len(self.layers)} "
            f"layers, {len(self.classes)} classes)"
        )

    @property
    def name(self) -> str:
        """What requests call it."""
        return self.info.name

    @property
    def input_size(self) -> tuple[int, int]:
        """Input height and width in pixels."""
        return self.info.input_size

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.info.classes

    def classify(
        self, images: Images, k: int = 5, *, timeout: float | None = None
    ) -> Classifications:
        """The k most probable classes of every image (a single image too gives a list of one).

        images: see `striate.images.as_batch`. Raises InvalidArgument, BadImage.
        """
        at_least(1, k=k)
        batch = as_batch(images)
        longest = max((len(name.encode()) for name in self.classes), default=0)
        spans = batch.spans(min(k, len(self.classes) or k) * (longest + _PREDICTION_BYTES))

        def request(rows: range) -> interpret_pb2.ClassifyRequest:
            return interpret_pb2.ClassifyRequest(model=self.name, images=batch.part(rows), k=k)

        parts, provenance = send(self._caller, self._interpret.Classify, spans, request, timeout)
        found = [
            [Prediction(p.label, p.index, p.probability) for p in image.predictions]
            for part in parts
            for image in part.images
        ]
        check_count(len(found), len(batch))
        return Classifications(found, provenance)
