"""InterpretService: Classify, and all that its other files answer."""

from collections.abc import Sequence

from torch import Tensor

from interp.probe import Probe, Procedure
from service.rpc.handlers.activations import ActivationHandlers
from service.rpc.handlers.attribution import AttributionHandlers
from service.rpc.handlers.dossier import DossierHandlers
from service.rpc.handlers.exemplars import ExemplarHandlers
from service.rpc.handlers.facets import FacetHandlers
from service.rpc.handlers.filters import FilterHandlers
from service.rpc.handlers.tuning import TuningHandlers
from service.rpc.handlers.visualize import VisualizeHandlers
from service.rpc.handlers.visualize_layer import LayerHandlers
from service.rpc.interceptor import Context
from service.rpc.validation import InvalidField
from service.rpc.wire import images as wire_images
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from striate.v1 import interpret_pb2 as pb

MOST_PREDICTIONS = 500_000
PART = 256  # images that Classify decodes at a time


class InterpretHandlers(
    DossierHandlers,
    VisualizeHandlers,
    LayerHandlers,
    FacetHandlers,
    ExemplarHandlers,
    FilterHandlers,
    TuningHandlers,
    ActivationHandlers,
    AttributionHandlers,
):
    """All methods of InterpretService."""

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        """Forward passes, shared with whatever else runs; a part of the images is decoded at a
        time.
        """
        with self._house.model(request.model) as model:
            k = min(request.k or 5, model.network.classes)
            if wire_images.count(request.images) * k > MOST_PREDICTIONS:
                raise InvalidField(
                    "k",
                    f"{k} classes of each image are more than one answer can hold; ask for fewer",
                )
            response = pb.ClassifyResponse(provenance=wire_provenance.provenance(model))
            for part in wire_images.split(request.images, PART):
                x = await self._house.images(part, model.preprocessing, len(response.images))
                top = await self._house.solve(
                    context, model, _top(x, k), x.nbytes, wire_priority.priority(0)
                )
                response.images.extend(
                    await self._house.aside(_classifications, top, model.classes)
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
