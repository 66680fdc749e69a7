"""The different things that one unit sees."""

from pathlib import Path

import striate
from striate.v1 import visualize_pb2 as pb
from tests.client.fakes.fakes_server import Fake, png
from tests.client.toys_pictures import SENT, SETTINGS


def test_facets(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    found = net.facets("stem:1", exemplars=30, facets=2, by_layer="root", **SETTINGS)
    (request,) = fake.requests("FindFacets")
    assert request == pb.FindFacetsRequest(
        model="tiny",
        settings=SENT,
        unit="stem:1",
        dataset="digits",
        exemplars=30,
        facets=2,
        by_layer="root",
    )
    assert (found.unit, found.by_layer, found.silhouette, found.provenance.model) == (
        "stem:1",
        "root",
        0.5,
        "tiny",
    )
    assert [(one.share, one.ids, one.visualization.activation) for one in found] == [
        (0.75, (0, 1), 3),
        (0.25, (10, 11), 2),
    ]
    assert found[1].crops[0].getpixel((0, 0)) == (1, 1, 1)
    names = [path.name for path in found.save(tmp_path)]
    assert names == [
        f"facet-{place}{rest}.png" for place in (0, 1) for rest in ("", "-crop-0", "-crop-1")
    ]
    assert (tmp_path / "facet-1-crop-1.png").read_bytes() == png(3, 3, 50)
    assert found._repr_html_().count("<img") == 6
    net.facets("stem:1", dataset="digits")
    bare = fake.requests("FindFacets")[1]
    assert bare == pb.FindFacetsRequest(
        model="tiny",
        settings=pb.PictureSettings(certification=pb.Certification(dataset="digits")),
        unit="stem:1",
        dataset="digits",
    )
