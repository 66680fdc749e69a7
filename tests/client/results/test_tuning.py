"""How units answer to gratings."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

import striate
from tests.client.fakes.fakes_measuring import responses
from tests.client.fakes.fakes_server import DIGEST, Fake


def test_tuning(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    found = net.tuning(
        "stem",
        orientations=6,
        wavelengths=np.array([3.0, 6.0, 9.0]),
        phases=4,
        contrast=0.5,
        priority="batch",
    )
    (request,) = fake.requests("MeasureTuning")
    assert (request.layer, request.orientations, list(request.wavelengths), request.phases) == (
        "stem",
        6,
        [3, 6, 9],
        4,
    )
    assert (request.contrast, request.priority) == (0.5, 2)
    np.testing.assert_array_equal(found.responses, responses(3, 6))
    assert (found.layer, found.orientations, found.wavelengths) == (
        "stem",
        (0, 30, 60, 90, 120, 150),
        (3, 6, 9),
    )
    assert (len(found), found[1], list(found)[1]) == (
        2,
        striate.UnitTuning(1, 4, 0.5, 11, -1),
        found[1],
    )
    assert found.provenance.model_digest == DIGEST
    assert found.image.size == (12, 6)
    np.testing.assert_array_equal(np.load(found.save(tmp_path / "t.npy")), found.responses)
    Image.open(io.BytesIO(found._repr_png_())).verify()
    assert "stem" in found._repr_html_()
