"""The part of the fake server that measures: weights, curves and maps that a test can compute
itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.v1 import filters_pb2 as pb
from striate.v1 import interpret_pb2_grpc, types_pb2
from tests.client.fakes.fakes_server import CLASSES, Fake, png, request_id

WEIGHTS = np.arange(2 * 3 * 3 * 3, dtype="<f4").reshape(2, 3, 3, 3)
MAPS = np.arange(4 * 2 * 3, dtype="<f4").reshape(4, 2, 3)
FIELDS = [field.name for field in pb.FilterAnalysis.DESCRIPTOR.fields]


def tensor(array: NDArray[np.float32]) -> types_pb2.Tensor:
    return types_pb2.Tensor(
        dtype=types_pb2.DATA_TYPE_FLOAT32, shape=array.shape, data=array.tobytes()
    )


def responses(wavelengths: int, orientations: int) -> NDArray[np.float32]:
    """Of two units."""
    return np.arange(2 * wavelengths * orientations, dtype="<f4").reshape(
        2, wavelengths, orientations
    )


class Measured(interpret_pb2_grpc.InterpretServiceServicer):
    """Filters, tuning curves, activations."""

    fake: Fake

    def RenderFilters(
        self, request: pb.RenderFiltersRequest, context: Any
    ) -> pb.RenderFiltersResponse:
        values: list[dict[str, Any]] = [
            {name: channel + 16 * place for place, name in enumerate(FIELDS)}
            for channel in range(2)
        ]
        analyses = [pb.FilterAnalysis(**one) for one in values]
        return pb.RenderFiltersResponse(
            layer=request.layer or "stem",
            weights=tensor(WEIGHTS),
            png=png(9, 9, 7),
            normalization="zero is mid-gray",
            order=[1, 0] if request.order else [0, 1],
            analyses=analyses if request.analyze else [],
            spectra_png=png(9, 9, 8) if request.spectra else b"",
            provenance=self.fake.provenance(request_id(context)),
        )

    def MeasureTuning(
        self, request: pb.MeasureTuningRequest, context: Any
    ) -> pb.MeasureTuningResponse:
        wavelengths, orientations = (
            list(request.wavelengths) or [4.0, 8.0],
            request.orientations or 4,
        )
        units = [
            pb.UnitTuning(
                orientation=u, wavelength=4, selectivity=0.5, response=10 + u, baseline=-1
            )
            for u in range(2)
        ]
        return pb.MeasureTuningResponse(
            layer=request.layer or "stem",
            orientations=[180 / orientations * i for i in range(orientations)],
            wavelengths=wavelengths,
            responses=tensor(responses(len(wavelengths), orientations)),
            units=units,
            png=png(6, 12, 3),
            provenance=self.fake.provenance(request_id(context)),
        )

    def GetActivations(
        self, request: pb.GetActivationsRequest, context: Any
    ) -> pb.GetActivationsResponse:
        chosen = [3, 2, 1, 0][: request.k or 3]
        is_logits = request.layer == "logits"
        units = [
            pb.UnitActivation(
                unit=u, value=9 - u, row=1, column=2, label=CLASSES[u] if is_logits else ""
            )
            for u in chosen
        ]
        maps = MAPS if request.all_units else MAPS[chosen]
        return pb.GetActivationsResponse(
            layer=request.layer,
            units=units,
            activations=tensor(maps),
            png=png(5, 7, 2),
            provenance=self.fake.provenance(request_id(context)),
        )
