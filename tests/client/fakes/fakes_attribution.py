"""The fake server's attributions: shares that tell the absolute image, so that parts can be put
together wrongly and be found out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.v1 import attribution_pb2 as pb
from striate.v1 import types_pb2
from tests.client.fakes.fakes_server import (
    CLASSES,
    SHAPE,
    Fake,
    favourite,
    png,
    request_id,
    rows_of,
)

SUMS = (
    pb.ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,
    pb.ATTRIBUTION_METHOD_DEEP_LIFT,
    pb.ATTRIBUTION_METHOD_LRP,
)
CAM = pb.ATTRIBUTION_METHOD_GRAD_CAM


class Attributing:
    """Answers Attribute."""

    fake: Fake

    def Attribute(self, request: pb.AttributeRequest, context: Any) -> pb.AttributeResponse:
        images = rows_of(request.images)
        channels = 1 if request.method == CAM else SHAPE[0]
        places = np.arange(request.first_image, request.first_image + len(images), dtype=np.float32)
        values = np.broadcast_to(
            places[:, None, None, None], (len(images), channels, *SHAPE[1:])
        ).astype("<f4")
        response = pb.AttributeResponse(
            attributions=types_pb2.Tensor(
                dtype=types_pb2.DATA_TYPE_FLOAT32, shape=values.shape, data=values.tobytes()
            ),
            layer=(request.layer or "stem") if request.method == CAM else "",
            provenance=self.fake.provenance(request_id(context)),
        )
        for row, image in enumerate(images):
            place = request.classes[row] if request.classes else favourite(image)
            response.images.add(
                objective=request.unit or f"logits:{place}",
                label="" if request.unit else CLASSES[place],
                score=float(places[row]) / 2,
                convergence_delta=float(places[row]) / 100 if request.method in SUMS else None,
                overlay_png=png(4, 5, int(places[row])),
                heat_map_png=png(4, 5, 200),
            )
        return response
