"""The part of the fake server that draws: pictures of one colour, and certificates by rules that a
test can compute itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np

from striate.v1 import (
    dossier_pb2,
    exemplars_pb2,
    filters_pb2,
    interpret_pb2_grpc,
    types_pb2,
    visualize_pb2,
)
from tests.client.fakes.fakes_server import (
    CLASSES,
    DATASET_SIZE,
    SHAPE,
    Fake,
    failure,
    png,
    reason,
    request_id,
)

UNITS = 5  # of the fake layer "stem"
KEPT = 2  # this unit is always answered from before
HTML = "<!doctype html><title>stem:1 & co</title>"


def certificate(activation: float) -> visualize_pb2.Certificate:
    """What an index tells of a picture whose unit's data set maximum is 2."""
    return visualize_pb2.Certificate(
        activation=activation,
        held_out=activation / 2,
        held_out_minimum=-1,
        dataset_maximum=2,
        ratio=activation / 2,
        held_out_ratio=activation / 4,
        percentile=0.5,
        dataset="digits",
        images=DATASET_SIZE,
        rank=1,
        units=UNITS,
        seed_activations=[1, 2],
        attempts=3,
        seed=2**40,
        learning_rate=0.25,
        contrast=2.5,
        height=12,
        width=16,
        appearance=visualize_pb2.Appearance(clipped=0.25, high_frequencies=0.5, saturation=0.75),
    )


def name_of(objective: visualize_pb2.Objective) -> str:
    """What the fake calls a composed objective."""
    kinds = [
        term.unit or f"{term.WhichOneof('kind')} in {term.direction.layer}{term.likeness.layer}"
        for term in objective.terms
    ]
    return " + ".join(kinds)


class Picturing(interpret_pb2_grpc.InterpretServiceServicer):
    """Visualizations, layers, facets and dossiers."""

    fake: Fake

    def Visualize(
        self, request: visualize_pb2.VisualizeRequest, context: Any
    ) -> Iterator[visualize_pb2.VisualizeResponse]:
        names = [
            name
            for name in (*request.objectives, *map(name_of, request.composed))
            for _ in range(request.variants or 1)
        ]
        steps = request.settings.steps or 3
        for step in range(1, steps + 1):
            preview = request.preview_every and step % request.preview_every == 0
            progress = visualize_pb2.VisualizeProgress(
                step=step,
                steps=steps,
                scores=[float(step)] * len(names),
                previews=[png(4, 5, step)] if preview else [],
            )
            yield visualize_pb2.VisualizeResponse(progress=progress)
        result = visualize_pb2.VisualizeResult(provenance=self.fake.provenance(request_id(context)))
        height, width = (size, size) if (size := request.settings.size) else SHAPE[1:]
        for place, name in enumerate(names):
            result.visualizations.add(
                objective=name,
                png=png(height, width, place),
                activation=place,
                dead=place == 1,
                variant=place % (request.variants or 1),
            )
            if request.settings.certification.dataset:
                result.visualizations[place].certificate.CopyFrom(certificate(place))
        if request.include_tensor:
            data = np.arange(len(names) * 12, dtype="<f4").tobytes()
            result.tensor.CopyFrom(
                types_pb2.Tensor(
                    dtype=types_pb2.DATA_TYPE_FLOAT32, shape=[len(names), 3, 2, 2], data=data
                )
            )
        yield visualize_pb2.VisualizeResponse(result=result)

    def VisualizeLayer(
        self, request: visualize_pb2.VisualizeLayerRequest, context: grpc.ServicerContext
    ) -> Iterator[visualize_pb2.VisualizeLayerResponse]:
        """The units from the last to the first, and what the test has told it to do before each."""
        if request.layer == "gone":
            failure(
                grpc.StatusCode.NOT_FOUND, "there is no layer 'gone'", reason("LAYER_NOT_FOUND")
            )(context)
        units = range(request.first_unit, request.first_unit + (request.unit_count or UNITS))
        provenance = self.fake.provenance(request_id(context))
        for done, unit in enumerate(reversed(units), 1):
            self.fake.before_unit(unit, context)
            drawn = visualize_pb2.Visualization(
                objective=f"{request.layer}:{unit}",
                png=png(4, 5, unit),
                activation=unit,
                certificate=certificate(unit),
            )
            picture = visualize_pb2.UnitPicture(unit=unit, visualization=drawn, cached=unit == KEPT)
            yield visualize_pb2.VisualizeLayerResponse(
                picture=picture,
                units_done=done,
                units_total=len(units) + self.fake.units_withheld,
                provenance=provenance,
            )
        if request.sheet:
            sheet = visualize_pb2.ContactSheet(png=png(12, 18, 9), columns=3, tile=6, units=units)
            yield visualize_pb2.VisualizeLayerResponse(
                sheet=sheet,
                units_done=len(units),
                units_total=len(units) + self.fake.units_withheld,
                provenance=provenance,
            )

    def FindFacets(
        self, request: visualize_pb2.FindFacetsRequest, context: Any
    ) -> visualize_pb2.FindFacetsResponse:
        response = visualize_pb2.FindFacetsResponse(
            by_layer=request.by_layer or "before", silhouette=0.5
        )
        response.provenance.CopyFrom(self.fake.provenance(request_id(context)))
        response.facets.extend(facet(place) for place in range(request.facets or 2))
        return response

    def CompileDossier(
        self, request: dossier_pb2.CompileDossierRequest, context: Any
    ) -> dossier_pb2.CompileDossierResponse:
        statistics = exemplars_pb2.UnitStatistics(
            unit=request.unit, maximum=2, histogram=[DATASET_SIZE - 7, 7], histogram_high=2
        )
        response = dossier_pb2.CompileDossierResponse(
            html=HTML.encode(), unit=request.unit, statistics=statistics
        )
        response.provenance.CopyFrom(self.fake.provenance(request_id(context)))
        for place in range(request.pictures or 1):
            response.visualizations.add(objective=request.unit, png=png(4, 5, place), variant=place)
        for place in range(request.exemplars or 9):
            response.exemplars.add(
                id=place,
                image_png=png(4, 5, place),
                crop_png=png(2, 2, place),
                activation=2 - place / 100,
            )
        if request.unit.startswith("stem"):
            response.tuning.CopyFrom(
                filters_pb2.UnitTuning(orientation=45, wavelength=4, selectivity=0.5, response=2)
            )
        response.logit_shifts.add(index=1, label=CLASSES[1], mean=0.5, standard_error=0.125)
        response.flips.add(unit=1, share=0.25, shift=-2, rank=3)
        response.facets.extend(facet(place) for place in range(2 * request.facets))
        return response


def facet(place: int) -> visualize_pb2.Facet:
    """The facet of that rank, with two exemplars."""
    drawn = visualize_pb2.Visualization(
        objective="stem:1", png=png(4, 5, place), activation=3 - place
    )
    return visualize_pb2.Facet(
        share=0.75 if place == 0 else 0.25,
        ids=[10 * place, 10 * place + 1],
        visualization=drawn,
        crops=[png(3, 3, place), png(3, 3, 50)],
    )
