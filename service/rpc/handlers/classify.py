"""Classify: the most probable classes of images."""

from torch import Tensor

from interp.probe import Probe, Procedure
from service.engine.job import Priority
from service.models.zoo import ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import required
from service.rpc.wire import classify as wire_classify
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire.not_finite import naming_image
from striate.v1 import interpret_pb2 as pb

CHUNK = 256  # images that are decoded at a time


class ClassifyHandler:
    """Answers Classify."""

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute

    async def classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        """Classify images by forward passes, which are shared with whatever else runs; only a chunk
        of them is held in memory at a time.
        """
        with self._zoo.use(required("model", request.model)) as model:
            k = wire_classify.read_class_count(request, model)
            response = pb.ClassifyResponse(provenance=wire_provenance.provenance(model))
            async with self._compute.decoding(request.images, model.preprocessing) as images:
                for first in range(0, len(images), CHUNK):
                    x = await images.read(range(first, min(first + CHUNK, len(images))))
                    with naming_image(first):
                        probabilities, indices = await self._compute.solve(
                            context,
                            model,
                            _most_probable(x, k),
                            x.nbytes,
                            Priority.INTERACTIVE,
                            gradients=False,
                        )
                    found = await self._compute.encode(
                        wire_classify.classifications, probabilities, indices, model.classes
                    )
                    response.images.extend(found)
            return response


def _most_probable(x: Tensor, k: int) -> Procedure[tuple[Tensor, Tensor]]:
    """The k highest probabilities of each image, and their classes: both (N, k)."""
    answer = yield Probe(x, logits=True)
    assert answer.logits is not None
    probabilities, indices = answer.logits.softmax(1).topk(k)
    return probabilities.cpu(), indices.cpu()
