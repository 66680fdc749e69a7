"""The command visualize: options become settings, pictures become files."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from striate._cli.main import app
from striate._cli.negative_units import protected
from striate.v1 import visualize_pb2 as pb
from tests.client.fakes.fakes_pictures import KEPT, UNITS, certificate
from tests.client.fakes.fakes_server import png
from tests.client.toys_cli import PICTURE_OPTIONS, PICTURE_SETTINGS, Cli


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
    found = cli.json("visualize", "tiny", "stem:1 - 0.5*stem:2", *words, *PICTURE_OPTIONS)
    expected = pb.VisualizeRequest(model="tiny", settings=PICTURE_SETTINGS)
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
        "clipped",
        "high",
        "freq.",
        "saturation",
        "state",
        "file",
    ]
    assert text.split("\n")[4].split()[:12] == [
        "stem:3",
        "3",
        "1.50",
        "0.75",
        "50.00%",
        f"1/{UNITS}",
        "1",
        "to",
        "2",
        "25.0%",
        "50.0%",
        "0.75",
    ]
    assert "dead" in text


def test_a_whole_layer(cli: Cli) -> None:
    out = cli.folder / "out"
    found = cli.json("visualize", "tiny", "stem:*", "--out", out, *PICTURE_OPTIONS)
    assert cli.fake.requests("VisualizeLayer") == [
        pb.VisualizeLayerRequest(model="tiny", settings=PICTURE_SETTINGS, layer="stem", sheet=True)
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


def test_visualize(cli: Cli) -> None:
    out = cli.folder / "out"
    found = cli.json(
        "visualize",
        "tiny",
        "stem:0",
        "stem:1@1,2",
        "--steps",
        5,
        "--seed",
        7,
        "--size",
        16,
        "--no-transforms",
        "--out",
        out,
    )
    (request,) = cli.fake.requests("Visualize")
    settings = request.settings
    assert (list(request.objectives), settings.steps, settings.seed, settings.size) == (
        ["stem:0", "stem:1@1,2"],
        5,
        7,
        16,
    )
    assert settings.without_transforms
    files = [Path(item["file"]) for item in found["visualizations"]]
    assert [file.read_bytes() for file in files] == [png(16, 16, 0), png(16, 16, 1)]
    assert {file.parent for file in files} == {out}
    assert [item["dead"] for item in found["visualizations"]] == [False, True]
    cli.json("visualize", "tiny", "stem:0", "--out", cli.folder / "one.png")
    assert (cli.folder / "one.png").read_bytes() == png(4, 5, 0)


@pytest.mark.parametrize("before", [(), ("--",)])
def test_a_minus_before_a_unit_is_no_option(cli: Cli, before: tuple[str, ...]) -> None:
    words = ("--out", str(cli.folder), "--steps", "3", *before, "-stem:1", "abs(stem:2)")
    result = CliRunner().invoke(app, ["--server", cli.fake.target, "visualize", "tiny", *words])
    assert result.exit_code == 0, result.output
    (request,) = cli.fake.requests("Visualize")
    assert [list(one.terms) for one in request.composed] == [
        [pb.Term(unit="stem:1", weight=-1)],
        [pb.Term(unit="abs(stem:2)")],
    ]
    assert request.settings.steps == 3


@pytest.mark.parametrize(
    ("text", "form"), [("-stem:*", pb.UNIT_FORM_NEG), ("abs(stem:*)", pb.UNIT_FORM_ABS)]
)
def test_a_whole_layer_of_another_form(cli: Cli, text: str, form: pb.UnitForm.ValueType) -> None:
    found = cli.json("visualize", "tiny", text, "--out", cli.folder / "out")
    (request,) = cli.fake.requests("VisualizeLayer")
    assert (request.layer, request.form) == ("stem", form)
    assert found["form"] == ("neg" if form == pb.UNIT_FORM_NEG else "abs")


def test_an_option_that_there_is_not_stays_one(cli: Cli) -> None:
    assert "--stps" in cli.run("visualize", "tiny", "stem:1", "--stps", 3).output
    assert protected(["-k", "3", "-a:1", "-0.5*a:1", "--", "-b:1"]) == [
        "-k",
        "3",
        " -a:1",
        " -0.5*a:1",
        "--",
        "-b:1",
    ]
