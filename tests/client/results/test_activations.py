"""The feature maps of a layer on an image."""

from pathlib import Path

import numpy as np
from PIL import Image

import striate
from tests.client.fakes.fakes_measuring import MAPS
from tests.client.fakes.fakes_server import Fake, favourite

PIXELS = np.random.default_rng(3).integers(0, 256, (4, 5, 3), dtype=np.uint8)


def test_activations(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    found = net.activations(PIXELS, "stem", 2, order="magnitude")
    (request,) = fake.requests("GetActivations")
    assert (request.layer, request.k, request.all_units, request.order) == ("stem", 2, False, 3)
    assert favourite(request.image.tensor.data) == favourite(PIXELS.tobytes())
    assert [(one.unit, one.value, one.position, one.label) for one in found.units] == [
        (3, 6, (1, 2), ""),
        (2, 7, (1, 2), ""),
    ]
    np.testing.assert_array_equal(found.maps, MAPS[[3, 2]])
    assert found.image.size == (7, 5)
    assert found.save(tmp_path / "a.png").read_bytes() == found.png
    assert "stem" in found._repr_html_()
    whole = net.activations(Image.fromarray(PIXELS), "logits", all_units=True)
    np.testing.assert_array_equal(np.load(whole.save(tmp_path / "a.npy")), MAPS)
    assert [one.label for one in whole.units] == ["crane", "crane", "sports-car"]
