"""The commands that draw: options become settings, pictures become files."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from striate._cli.screen import Screen
from striate.v1 import types_pb2
from striate.v1 import visualize_pb2 as pb
from tests.client.fakes_pictures import HTML, KEPT, UNITS, certificate
from tests.client.fakes_server import png
from tests.client.toys_cli import Cli

OPTIONS = (
    "--steps",
    9,
    "--learning-rate",
    0.5,
    "--seed",
    3,
    "--size",
    32,
    "--space",
    "maco=12,80",
    "--spectrum-dataset",
    "photos",
    "--alpha",
    "--l1",
    1,
    "--l2",
    2,
    "--tv",
    3,
    "--blur",
    "0.0625,5",
    "--clip",
    "1/2",
    "--dataset",
    "digits",
    "--seeds",
    4,
    "--retries",
    0,
    "--transform",
    "jitter=0.25",
    "--transform",
    "rotate=90",
    "--transform",
    "scale=0.5",
    "--transform",
    "pad=1/8",
    "--transform",
    "crop=0.5,0",
    "--transform",
    "noise=0.75",
    "--transform",
    "mirror",
    "--deterministic",
)
SENT = pb.PictureSettings(
    steps=9,
    learning_rate=0.5,
    seed=3,
    size=32,
    parameterization=pb.Parameterization(
        maco=pb.Maco(dataset="photos", images=12, transparency=80), alpha=True
    ),
    deterministic=True,
    regularizers=[
        pb.Regularizer(l1=1),
        pb.Regularizer(l2=2),
        pb.Regularizer(total_variation=3),
        pb.Regularizer(blur=pb.BlurRegularizer(sigma=0.0625, every=5)),
        pb.Regularizer(clip=pb.ClipRegularizer(share=0.5)),
    ],
    certification=pb.Certification(dataset="digits", seeds=4, retries=0),
    transforms=[
        pb.Transform(jitter=0.25),
        pb.Transform(rotate=90),
        pb.Transform(scale=0.5),
        pb.Transform(pad=0.125),
        pb.Transform(crop=pb.CropTransform(side=0.5, deviation=0)),
        pb.Transform(noise=0.75),
        pb.Transform(mirror=0.5),
    ],
)


def test_every_option_arrives(cli: Cli) -> None:
    words = (
        "--variants",
        2,
        "--diversity",
        "stem=0.5",
        "--start",
        cli.pictures[0],
        "--out",
        cli.folder / "out",
    )
    found = cli.json("visualize", "tiny", "stem:1 - 0.5*stem:2", *words, *OPTIONS)
    expected = pb.VisualizeRequest(model="tiny", settings=SENT)
    expected.composed.add().terms.extend(
        [pb.Term(unit="stem:1"), pb.Term(unit="stem:2", weight=-0.5)]
    )
    expected.variants = 2
    expected.diversity.CopyFrom(pb.Diversity(layer="stem", weight=0.5))
    expected.start.encoded.append(cli.pictures[0].read_bytes())
    assert cli.fake.requests("Visualize") == [expected]
    shown = found["visualizations"]
    assert [one["variant"] for one in shown] == [0, 1]
    assert shown[1]["certificate"]["ratio"] == certificate(1).ratio
    assert len({one["file"] for one in shown}) == 2
    assert Path(shown[1]["file"]).read_bytes() == png(32, 32, 1)


def test_objectives_with_files(cli: Cli) -> None:
    vector, image = cli.folder / "my vector.npy", cli.pictures[0]
    np.save(vector, np.array([0.0, 2.0, -1.0]))
    words = (
        f"direction(stem,{vector}) - 0.5*dot-cosine( stem@1,2 , {vector}, power=2 ) + stem:3 + "
        f"caricature(stem, {image}, power=0)"
    )
    cli.json("visualize", "tiny", words, f" -style(stem,{image})", "--out", cli.folder)
    first, second = cli.fake.requests("Visualize")[0].composed
    sent = types_pb2.Tensor(
        dtype=types_pb2.DATA_TYPE_FLOAT64, shape=[3], data=np.load(vector).tobytes()
    )
    batch = types_pb2.ImageBatch(encoded=[image.read_bytes()])
    along = pb.Direction(layer="stem", vector=sent, comparison=pb.COMPARISON_DOT)
    at = pb.Direction(
        layer="stem", vector=sent, comparison=pb.COMPARISON_DOT_COSINE, power=2, row=1, column=2
    )
    like = pb.Likeness(layer="stem", image=batch, kind=pb.LIKENESS_KIND_CARICATURE, power=0)
    style = pb.Likeness(layer="stem", image=batch, kind=pb.LIKENESS_KIND_STYLE)
    assert list(first.terms) == [
        pb.Term(direction=along),
        pb.Term(direction=at, weight=-0.5),
        pb.Term(unit="stem:3"),
        pb.Term(likeness=like),
    ]
    assert list(second.terms) == [pb.Term(likeness=style, weight=-1)]


def test_from_one_objective_to_another(cli: Cli) -> None:
    cli.json("visualize", "tiny", "stem:1", "stem:2", "--between", 3, "--out", cli.folder)
    sent = [
        [(one.unit, one.weight or 1) for one in objective.terms]
        for objective in cli.fake.requests("Visualize")[0].composed
    ]
    assert sent == [[("stem:1", 1)], [("stem:1", 0.5), ("stem:2", 0.5)], [("stem:2", 1)]]


@pytest.mark.parametrize(
    ("words", "field", "told"),
    [
        (("style(stem)",), "objectives", "inversion(LAYER,IMAGE)"),
        (("style(stem@1,2,{image})",), "objectives", "@ROW,COLUMN"),
        (("pattern(stem,{image})",), "objectives", "pattern"),
        (("cosine(stem,{image})",), "vector", ".npy"),
        (("style(stem,{image},power=much)",), "power", "much"),
        (("stem:0", "--between", "3"), "between", "two"),
    ],
)
def test_objectives_that_cannot_be_read_are_told(
    cli: Cli, words: tuple[str, ...], field: str, told: str
) -> None:
    found = cli.json(
        "visualize",
        "tiny",
        *(word.format(image=cli.pictures[0]) for word in words),
        "--out",
        cli.folder,
        code=2,
    )
    assert told in found["error"]["fields"][field]
    assert cli.fake.requests("Visualize") == []


def test_what_a_picture_is_worth_is_told(cli: Cli) -> None:
    text = cli.run(
        "visualize",
        "tiny",
        "stem:0",
        "stem:3",
        "--variants",
        2,
        "--dataset",
        "digits",
        "--out",
        cli.folder,
    ).stdout
    assert text.split("\n")[0].split() == [
        "objective",
        "activation",
        "ratio",
        "held",
        "out",
        "percentile",
        "rank",
        "other",
        "seeds",
        "file",
    ]
    assert text.split("\n")[4].split()[:9] == [
        "stem:3",
        "3",
        "1.50",
        "0.75",
        "50.00%",
        f"1/{UNITS}",
        "1",
        "to",
        "2",
    ]
    assert "dead" in text


def test_what_is_not_a_number_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(True).result(
        {
            "activation": math.nan,
            "several": [1.5, (-math.inf, {"deep": math.inf})],
            "name": "nan",
            "dead": True,
        }
    )

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert found == {
        "activation": None,
        "several": [1.5, [None, {"deep": None}]],
        "name": "nan",
        "dead": True,
    }


def test_a_whole_layer(cli: Cli) -> None:
    out = cli.folder / "out"
    found = cli.json("visualize", "tiny", "stem:*", "--out", out, *OPTIONS)
    assert cli.fake.requests("VisualizeLayer") == [
        pb.VisualizeLayerRequest(model="tiny", settings=SENT, layer="stem", sheet=True)
    ]
    assert [(one["unit"], one["cached"]) for one in found["units"]] == [
        (unit, unit == KEPT) for unit in range(UNITS)
    ]
    assert sorted(path.name for path in out.iterdir()) == [
        "sheet.png",
        *(f"stem-{unit}.png" for unit in range(UNITS)),
    ]
    assert Path(found["units"][3]["file"]).read_bytes() == png(4, 5, 3)
    assert (found["layer"], found["columns"], Path(found["sheet"])) == (
        "stem",
        3,
        out / "sheet.png",
    )
    text = cli.run("visualize", "tiny", "stem:1-2", "--out", out).stdout
    assert (
        cli.fake.requests("VisualizeLayer")[1].first_unit,
        cli.fake.requests("VisualizeLayer")[1].unit_count,
    ) == (1, 2)
    assert text.index("stem:1") < text.index("stem:2")
    assert "sheet.png" in text


def test_the_sheet_of_a_layer_alone(cli: Cli) -> None:
    sheet = cli.folder / "out" / "all.png"
    found = cli.json("visualize", "tiny", "stem:*", "--out", sheet)
    assert (found["sheet"], {one["file"] for one in found["units"]}) == (str(sheet), {None})
    assert (sheet.read_bytes(), list(sheet.parent.iterdir())) == (png(12, 18, 9), [sheet])


def test_facets_and_dossiers(cli: Cli) -> None:
    words = ("--exemplars", 20, "--facets", 2, "--by-layer", "root", "--out", cli.folder / "facets")
    found = cli.json("facets", "tiny", "stem:1", *OPTIONS, *words)
    (request,) = cli.fake.requests("FindFacets")
    assert (request.exemplars, request.facets, request.by_layer, request.dataset) == (
        20,
        2,
        "root",
        "digits",
    )
    assert request.settings == SENT
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
    found = cli.json("dossier", "tiny", "stem:1", *OPTIONS, *more)
    (dossier,) = cli.fake.requests("CompileDossier")
    assert (dossier.pictures, dossier.exemplars, dossier.images, dossier.epsilon) == (
        2,
        3,
        10,
        0.25,
    )
    assert (dossier.attack_steps, dossier.facets, dossier.settings) == (7, True, SENT)
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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("stem:0", "--space", "maco"), "spectrum-dataset"),
        (("stem:0", "--spectrum-dataset", "photos"), "spectrum-dataset"),
        (("stem:0", "--space", "cube"), "cube"),
        (("stem:0", "--space", "cppn=3,4,5"), "DEPTH,WIDTH"),
        (("stem:0", "--space", "pixels=3"), "pixels"),
        (
            ("stem:0", "--space", "maco=1,2,3", "--spectrum-dataset", "photos"),
            "IMAGES,TRANSPARENCY",
        ),
        (("stem:0", "--transform", "wobble=1"), "wobble"),
        (("stem:0", "--transform", "jitter"), "jitter=SHARE"),
        (("stem:0", "--transform", "jitter=0.1,0.2"), "SHARE"),
        (("stem:0", "--transform", "jitter=0.1", "--no-transforms"), "--no-transforms"),
        (("stem:0", "--transform", "jitter=much"), "much"),
        (("stem:0", "--blur", "much"), "--blur"),
        (("stem:0", "stem:1", "--out", "both.png"), "--out"),
        (("stem:0", "--variants", "2", "--out", "both.jpg"), "--out"),
        (("stem:3-9",), "units"),
        (("stem:0", "--transform", "jitter=0.7"), "0.5"),
        (("stem:0", "--blur", "0.1,2,3"), "SIGMA,EVERY"),
        (("stem:*", "--variants", "2"), "variants"),
        (("stem:*", "stem:0"), "no other objective"),
        (("stem:1-0.5*stem:2",), "is no number"),
    ],
)
def test_wrong_usage_is_exit_2(cli: Cli, words: tuple[str, ...], told: str) -> None:
    result = cli.run("visualize", "tiny", *words)
    assert result.exit_code == 2
    assert told in result.stderr
