"""The part of the fake server that looks into an exemplar index."""

from __future__ import annotations

from typing import Any

from striate.v1 import exemplars_pb2, interpret_pb2_grpc, types_pb2
from tests.client.fakes.fakes_server import DATASET_SIZE, Fake, png, request_id, running

QUANTILES = (0.1, 0.5)
COUNTS = (100, 0, 50)  # of every unit's histogram


class Exhibiting(interpret_pb2_grpc.InterpretServiceServicer):
    """Indexes, exemplars, statistics."""

    fake: Fake

    def BuildExemplarIndex(
        self, request: exemplars_pb2.BuildExemplarIndexRequest, context: Any
    ) -> Any:
        return self.fake.operations.setdefault("operations/1", running("operations/1", 0))

    def FindExemplars(
        self, request: exemplars_pb2.FindExemplarsRequest, context: Any
    ) -> exemplars_pb2.FindExemplarsResponse:
        found = [
            exemplars_pb2.Exemplar(
                id=10 + rank,
                name=f"{rank}.png",
                image_png=png(8, 9, 100 + rank),
                crop_png=png(4, 3, 100 + rank),
                activation=9.5 - rank,
                row=1,
                column=2,
                crop_top=2,
                crop_left=5,
                crop_height=4,
                crop_width=3,
                label=rank or None,
                label_name="<b>cat</b>",
            )
            for rank in range(min(request.k or 9, 3))
        ]
        if request.order == exemplars_pb2.EXEMPLAR_ORDER_QUANTILE:
            for exemplar, share in zip(found, QUANTILES, strict=False):
                exemplar.quantile = share
        bad = [one for one in found if one.id in self.fake.bad_samples] if request.skip_bad else []
        found = [one for one in found if one not in bad]
        for exemplar in found if request.without_images else ():
            for name in ("name", "image_png", "crop_png", "label", "label_name"):
                exemplar.ClearField(name)  # type: ignore[arg-type, unused-ignore]
        return exemplars_pb2.FindExemplarsResponse(
            unit=request.unit,
            exemplars=found,
            images=DATASET_SIZE,
            images_left_out=len(self.fake.bad_samples),
            left_out=[types_pb2.LeftOutImage(id=o.id, name=o.name, reason="is none") for o in bad],
            provenance=self.fake.provenance(request_id(context)),
        )

    def GetUnitStatistics(
        self, request: exemplars_pb2.GetUnitStatisticsRequest, context: Any
    ) -> exemplars_pb2.GetUnitStatisticsResponse:
        names = (
            [request.unit]
            if ":" in request.unit
            else [f"{request.unit}:{unit}" for unit in range(2)]
        )
        return exemplars_pb2.GetUnitStatisticsResponse(
            units=[statistics(name, place) for place, name in enumerate(names)],
            images=DATASET_SIZE,
            provenance=self.fake.provenance(request_id(context)),
        )


def statistics(name: str, place: int) -> exemplars_pb2.UnitStatistics:
    """Numbers that 32 bits hold."""
    return exemplars_pb2.UnitStatistics(
        unit=name,
        minimum=-1.5,
        maximum=3 + place,
        maximum_mean=2.5,
        minimum_mean=-0.5,
        mean=0.25,
        variance=0.125,
        active_share=0.5,
        active_images=0.75,
        sparsity=0.375,
        histogram_low=-0.5,
        histogram_high=2.5,
        histogram=COUNTS,
        quantiles=QUANTILES,
        quantile_values=[1, 2],
    )
