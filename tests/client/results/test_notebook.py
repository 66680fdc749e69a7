"""What a notebook shows of results."""

import base64
import io
import re

import numpy as np
from PIL import Image

import striate
from tests.client.fakes.fakes_server import (
    png,
)

IMAGES = np.random.default_rng(2).integers(0, 256, (10, 4, 5, 3), dtype=np.uint8)


def pictures_in(html: str) -> list[bytes]:
    """The PNG files that a notebook would show."""
    found = [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]+)", html)]
    for data in found:
        Image.open(io.BytesIO(data)).verify()
    return found


def test_notebooks_show_pictures(service: striate.Service, net: striate.Model) -> None:
    one, many = net.visualize("stem:1"), net.visualize(["stem:0", "stem:1"])
    exemplars, filters, attack = (
        net.exemplars("stem:0", dataset="digits"),
        net.filters(),
        net.attack(IMAGES, None, striate.FGSM()),
    )
    assert pictures_in(one._repr_html_()) == [one.png]
    assert pictures_in(many._repr_html_()) == [item.png for item in many]
    assert "dead" in many._repr_html_()
    assert pictures_in(filters._repr_html_()) == [filters.png]
    assert pictures_in(exemplars._repr_html_()) == [
        data for e in exemplars for data in (e.image_png, e.crop_png)
    ]
    assert "<b>cat</b>" not in exemplars._repr_html_(), "names from a data set are escaped"
    assert len(pictures_in(attack._repr_html_())) == min(8, len(IMAGES))
    for shown in (
        one,
        filters,
        exemplars,
        exemplars[0],
        attack,
        service.samples("digits", 0, 1)[0],
    ):
        drawn = shown._repr_png_()
        assert drawn is not None
        Image.open(io.BytesIO(drawn)).verify()


def test_sizes_of_pictures_are_the_fakes() -> None:
    """Guards the tests above against a fake that paints nothing."""
    assert Image.open(io.BytesIO(png(4, 5, 9))).size == (5, 4)
