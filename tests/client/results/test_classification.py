"""The most probable classes of images."""

import numpy as np

import striate
from tests.client.fakes.fakes_server import (
    CLASSES,
    Fake,
    favourite,
)

IMAGES = np.random.default_rng(2).integers(0, 256, (10, 4, 5, 3), dtype=np.uint8)


def test_classify(fake: Fake, net: striate.Model) -> None:
    found = net.classify(IMAGES, k=2)
    assert fake.requests("Classify")[0].k == 2
    assert [len(row) for row in found] == [2] * 10
    first = found[3][0]
    assert (first.index, first.label, first.probability) == (
        (i := favourite(IMAGES[3].tobytes())),
        CLASSES[i],
        0.5,
    )
    assert found._repr_html_().count("<tr>") == 1 + 20
