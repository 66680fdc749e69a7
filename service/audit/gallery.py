"""The gallery of an audit: the nearest adversarial images of every network and threat."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interp.audit.conditions import condition
from interp.audit.findings import finder_name
from interp.audit.result import Examples, nearest_examples
from service.audit.journal import Shard
from service.audit.spec import AuditSpec
from service.imaging import png
from service.report import Example, magnified

GALLERY = 6  # images of a network and a threat


class GalleryExample(NamedTuple):
    """A candidate for the gallery. The least epsilon decides, then the first row.

    Attributes:
        epsilon: index in the threat's epsilons.
        row: of the audit's order.
        id: of the image in the data set.
        label, prediction: classes.
        finder: index in `interp.audit.findings.finders`.
        under: number of the threat under which it was met.
        norm: of the perturbation, pixel units.
        clean: (C, H, W) uint8.
        adversarial: (C, H, W) uint8, or float32 in [0, 1].
    """

    epsilon: int
    row: int
    id: int
    label: int
    finder: int
    under: int
    prediction: int
    norm: float
    clean: NDArray[np.uint8]
    adversarial: NDArray[Any]


def candidates(found: Examples, shard: Shard, first: int) -> Iterator[GalleryExample]:
    """Find the examples of a shard that may come into the gallery.

    Args:
        found: under one threat on one network.
        shard: with its clean pixels.
        first: the shard's first place in the audit's order.
    """
    assert shard.pixels is not None
    if not len(found.row):
        return
    best = nearest_examples([found], GALLERY)
    columns = (best.epsilon, best.row, best.finder, best.under, best.prediction, best.norm)
    for image, (epsilon, row, finder, under, prediction, norm) in zip(
        best.images, zip(*(c.tolist() for c in columns), strict=True), strict=True
    ):
        place = row - first
        clean = shard.pixels[place].copy()  # a copy: the rest of the shard may go
        yield GalleryExample(
            epsilon,
            row,
            int(shard.ids[place]),
            int(shard.labels[place]),
            finder,
            under,
            prediction,
            norm,
            clean,
            image.copy(),
        )


def gallery_entry(job: AuditSpec, network: int, threat: int, one: GalleryExample) -> Example:
    """Draw an example of the gallery.

    Args:
        job: the audit.
        network, threat: numbers of those that the example is of.
        one: the example.
    """
    model, (p, epsilons) = job.models[network], job.plan.threats[threat]
    perturbation, magnification = magnified(one.clean, one.adversarial)
    return {
        "network": model.name,
        "id": one.id,
        "condition": condition(p, epsilons[one.epsilon]),
        "attack": finder_name(job.plan, threat, one.finder, one.under),
        "label": model.classes[one.label],
        "clean_prediction": model.classes[one.label],  # only images that were right are attacked
        "prediction": model.classes[one.prediction],
        "norm": one.norm,
        "clean_png": png(one.clean),
        "perturbation_png": perturbation,
        "adversarial_png": png(one.adversarial),
        "magnification": magnification,
    }
