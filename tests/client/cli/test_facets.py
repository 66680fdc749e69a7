"""The commands facets and dossier."""

from tests.client.fakes.fakes_pictures import HTML
from tests.client.toys_cli import PICTURE_OPTIONS, PICTURE_SETTINGS, Cli


def test_facets_and_dossiers(cli: Cli) -> None:
    words = ("--exemplars", 20, "--facets", 2, "--by-layer", "root", "--out", cli.folder / "facets")
    found = cli.json("facets", "tiny", "stem:1", *PICTURE_OPTIONS, *words)
    (request,) = cli.fake.requests("FindFacets")
    assert (request.exemplars, request.facets, request.by_layer, request.dataset) == (
        20,
        2,
        "root",
        "digits",
    )
    assert request.settings == PICTURE_SETTINGS
    assert ([one["ids"] for one in found["facets"]], len(found["files"])) == ([[0, 1], [10, 11]], 6)
    assert "75%" in cli.run("facets", "tiny", "stem:1", "--dataset", "digits").stdout
    page = cli.folder / "page.html"
    more = (
        "--pictures",
        2,
        "--exemplars",
        3,
        "--images",
        10,
        "--epsilon",
        "1/4",
        "--attack-steps",
        7,
        "--facets",
        "--out",
        page,
    )
    found = cli.json("dossier", "tiny", "stem:1", *PICTURE_OPTIONS, *more)
    (dossier,) = cli.fake.requests("CompileDossier")
    assert (dossier.pictures, dossier.exemplars, dossier.images, dossier.epsilon) == (
        2,
        3,
        10,
        0.25,
    )
    assert (dossier.attack_steps, dossier.facets, dossier.settings) == (7, True, PICTURE_SETTINGS)
    assert (page.read_text(), found["flips"][0]["rank"], found["logit_shifts"][0]["mean"]) == (
        HTML,
        3,
        0.5,
    )
    assert (
        found["statistics"]["maximum"],
        found["tuning"]["orientation"],
        [one["share"] for one in found["facets"]],
    ) == (
        2,
        45,
        [0.75, 0.25],
    )
