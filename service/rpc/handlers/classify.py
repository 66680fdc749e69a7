"""Classify: the most probable classes of images."""

from collections.abc import Sequence

from torch import Tensor

from interp.probe import Probe, Procedure
from service.models.zoo import ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import InvalidField, required
from service.rpc.wire import images as wire_images
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from striate.v1 import interpret_pb2 as pb

MOST_PREDICTIONS = 500_000
CHUNK = 256  # images that Classify decodes at a time


class ClassifyHandler:
    """Answers Classify."""

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute

    async def classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        """Forward passes, shared with whatever else runs; a part of the images is decoded at a
        time.
        """
        with self._zoo.use(required("model", request.model)) as model:
            k = min(request.k or 5, model.network.classes)
            if wire_images.count(request.images) * k > MOST_PREDICTIONS:
                raise InvalidField(
                    "k",
                    f"{k} classes of each image are more than one answer can hold; ask for fewer",
                )
            response = pb.ClassifyResponse(provenance=wire_provenance.provenance(model))
            for chunk in wire_images.split(request.images, CHUNK):
                x = await self._compute.decode_images(
                    chunk, model.preprocessing, len(response.images)
                )
                top = await self._compute.solve(
                    context, model, _top(x, k), x.nbytes, wire_priority.priority(0)
                )
                response.images.extend(
                    await self._compute.run_in_pool(_classifications, top, model.classes)
                )
            return response


def _classifications(top: tuple[Tensor, Tensor], classes: Sequence[str]) -> list[pb.Classification]:
    return [
        pb.Classification(
            predictions=[
                pb.Prediction(index=i, label=classes[i], probability=p)
                for p, i in zip(row, indices, strict=True)
            ]
        )
        for row, indices in zip(top[0].tolist(), top[1].tolist(), strict=True)
    ]


def _top(x: Tensor, k: int) -> Procedure[tuple[Tensor, Tensor]]:
    answer = yield Probe(x, logits=True)
    assert answer.logits is not None
    values, indices = answer.logits.softmax(1).topk(k)
    return values.cpu(), indices.cpu()
