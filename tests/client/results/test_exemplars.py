"""The images of a data set that show what a unit answers to."""

from pathlib import Path

import pytest

import striate
from tests.client.fakes.fakes_server import (
    DATASET_SIZE,
    Fake,
)


def test_exemplars(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    found = net.exemplars("stem:1", k=3, dataset="digits")
    assert (found.unit, found.images) == ("stem:1", DATASET_SIZE)
    assert [(e.id, e.name, e.activation) for e in found] == [
        (10, "0.png", 9.5),
        (11, "1.png", 8.5),
        (12, "2.png", 7.5),
    ]
    assert [e.label for e in found] == [None, 1, 2]
    first = found[0]
    assert (first.position, first.label_name) == ((1, 2), "<b>cat</b>")
    assert first.image.crop(first.box).tobytes() == first.crop.tobytes()
    names = [path.name for path in found.save(tmp_path)]
    assert names[:3] == ["grid.png", "00-10.png", "00-10-crop.png"]
    assert (tmp_path / "02-12-crop.png").read_bytes() == found[2].crop_png


def test_without_images(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    found = net.exemplars("stem:1", dataset="digits", images=False)
    assert fake.requests("FindExemplars")[-1].without_images
    first = found[0]
    assert (first.id, first.name, first.position, first.box, first.label) == (
        10,
        "",
        (1, 2),
        (5, 2, 8, 6),
        None,
    )
    for show in (
        lambda: first.image,
        lambda: first.crop,
        lambda: found.image,
        lambda: first.save(tmp_path),
        lambda: found.save(tmp_path),
    ):
        with pytest.raises(striate.InvalidArgument, match="no pictures"):
            show()
    assert found._repr_png_() is first._repr_png_() is None
    assert "10: 9.5" in found._repr_html_()
    assert not list(tmp_path.iterdir())
