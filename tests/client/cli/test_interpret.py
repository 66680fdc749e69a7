"""Commands about what the units of a network see."""

import numpy as np

from tests.client.fakes.fakes_measuring import MAPS, responses
from tests.client.fakes.fakes_server import (
    DIGEST,
    png,
)
from tests.client.toys_cli import Cli


def test_classify_files_and_folders(cli: Cli) -> None:
    alone = cli.json("classify", "tiny", *cli.pictures, "-k", 2)
    (cli.folder / "notes.txt").write_text("no picture")
    assert cli.json("classify", "tiny", cli.folder, "-k", 2)["images"] == alone["images"]
    assert [image["file"] for image in alone["images"]] == list(map(str, cli.pictures))
    assert [len(image["predictions"]) for image in alone["images"]] == [2] * 4
    assert alone["provenance"]["model_digest"] == DIGEST


def test_filters(cli: Cli) -> None:
    found = cli.json(
        "filters", "tiny", "--layer", "stem", "--scale", "global", "--out", cli.folder / "w.npy"
    )
    assert found["shape"] == [2, 3, 3, 3]
    assert np.load(cli.folder / "w.npy").shape == (2, 3, 3, 3)


def test_filters_command(cli: Cli) -> None:
    files = cli.folder / "f.png", cli.folder / "s.png"
    found = cli.json(
        "filters",
        "tiny",
        "--order",
        "orientation",
        "--analyze",
        "--spectra",
        files[1],
        "--out",
        files[0],
    )
    assert (files[0].read_bytes(), files[1].read_bytes()) == (png(9, 9, 7), png(9, 9, 8))
    assert (found["order"], found["spectra_file"]) == ([1, 0], str(files[1]))
    assert [one["orientation"] for one in found["analyses"]] == [0, 1]
    text = cli.run("filters", "tiny", "--order", "hue", "--analyze", "--out", files[0]).stdout
    first, second = text.splitlines()[-2:]
    assert (first.split()[0], second.split()[0]) == ("1", "0"), "in the order of the tiles"


def test_tuning_command(cli: Cli) -> None:
    out = cli.folder / "t.npy"
    found = cli.json(
        "tuning",
        "tiny",
        "--orientations",
        6,
        "--wavelength",
        3,
        "--wavelength",
        5.5,
        "--contrast",
        0.25,
        "--out",
        out,
    )
    assert found["wavelengths"] == [3, 5.5]
    assert found["units"][1] == {
        "orientation": 1,
        "wavelength": 4,
        "selectivity": 0.5,
        "response": 11,
        "baseline": -1,
    }
    np.testing.assert_array_equal(np.load(found["file"]), responses(2, 6))
    assert "0.50" in cli.run("tuning", "tiny", "--out", cli.folder / "t.png").stdout


def test_activations_command(cli: Cli) -> None:
    out = cli.folder / "a.npy"
    found = cli.json(
        "activations",
        "tiny",
        cli.pictures[1],
        "logits",
        "-k",
        2,
        "--order",
        "mean",
        "--all-units",
        "--out",
        out,
    )
    assert cli.fake.requests("GetActivations")[0].order == 2
    assert [(one["unit"], one["label"], one["position"]) for one in found["units"]] == [
        (3, "crane", [1, 2]),
        (2, "crane", [1, 2]),
    ]
    assert found["shape"] == list(np.load(out).shape) == list(MAPS.shape)
    assert (
        "sports-car"
        in cli.run(
            "activations", "tiny", cli.pictures[1], "logits", "--out", cli.folder / "a.png"
        ).stdout
    )
