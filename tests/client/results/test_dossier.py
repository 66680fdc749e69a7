"""One unit on one page."""

from pathlib import Path
from typing import Any

import striate
from striate.v1 import dossier_pb2
from tests.client.fakes.fakes_pictures import HTML
from tests.client.fakes.fakes_server import CLASSES, DATASET_SIZE, Fake
from tests.client.toys_pictures import SENT, SETTINGS


def test_dossier(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {
        "pictures": 2,
        "exemplars": 3,
        "images": 10,
        "epsilon": 0.25,
        "attack_steps": 7,
        "facets": True,
    }
    found = net.dossier("stem:1", **wanted, **SETTINGS)
    (request,) = fake.requests("CompileDossier")
    assert request == dossier_pb2.CompileDossierRequest(
        model="tiny", settings=SENT, unit="stem:1", dataset="digits", **wanted
    )
    assert [one.variant for one in found.visualizations] == [0, 1]
    assert [one.id for one in found.exemplars] == [0, 1, 2]
    assert (found.exemplars.unit, found.exemplars.images) == ("stem:1", DATASET_SIZE)
    assert (found.statistics.maximum, found.statistics.images, found.statistics.counts) == (
        2,
        DATASET_SIZE,
        (DATASET_SIZE - 7, 7),
    )
    assert found.tuning is not None
    assert (found.tuning.orientation, found.tuning.wavelength) == (45, 4)
    (shift,), (flip,) = found.logit_shifts, found.flips
    assert (shift.index, shift.label, shift.mean, shift.standard_error) == (
        1,
        CLASSES[1],
        0.5,
        0.125,
    )
    assert (flip.unit, flip.share, flip.shift, flip.rank) == (1, 0.25, -2, 3)
    assert len(found.facets) == 2
    assert found.save(tmp_path / "new" / "page.html").read_text() == found.html == HTML
    assert "&lt;title&gt;stem:1 &amp;amp; co" not in found._repr_html_()
    assert "&lt;title&gt;stem:1 &amp; co" in found._repr_html_()
    assert found._repr_html_().startswith("<iframe sandbox ")  # no script of the page's, if any
    assert net.dossier("head:1", dataset="digits").tuning is None
