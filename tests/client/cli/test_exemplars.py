"""The commands exemplars and statistics."""

from striate._cli.interpret.statistics import _bars
from striate.v1 import exemplars_pb2 as pb
from tests.client.fakes.fakes_exemplars import COUNTS
from tests.client.fakes.fakes_server import DATASET_SIZE, png
from tests.client.toys_cli import Cli


def sent(cli: Cli) -> pb.FindExemplarsRequest:
    request: pb.FindExemplarsRequest = cli.fake.requests("FindExemplars")[-1]
    return request


def test_the_command_line_asks_for_exemplars(cli: Cli) -> None:
    words = ("exemplars", "tiny", "stem:1", "--dataset", "digits")
    found = cli.json(*words, "--order", "min", "--no-images")
    assert (
        sent(cli).order,
        sent(cli).without_images,
        found["order"],
    ) == (
        pb.EXEMPLAR_ORDER_MIN,
        True,
        "min",
    )
    assert [exemplar["id"] for exemplar in found["exemplars"]] == [10, 11, 12]
    found = cli.json(*words, "--quantiles", "--out", cli.folder / "ex")
    assert [exemplar["quantile"] for exemplar in found["exemplars"]] == [0.1, 0.5, None]
    assert (cli.folder / "ex" / "01-11.png").read_bytes() == png(8, 9, 101)
    cli.json(*words, "--label", "dog")
    assert sent(cli).label == 1
    cli.json(*words, "--label", "0")
    assert (
        sent(cli).HasField("label"),
        sent(cli).label,
    ) == (True, 0)
    text = cli.run(*words).stdout
    assert "9.5" in text
    assert "quantile" not in text, "columns without values are left out"
    assert cli.run(*words, "--no-images", "--out", cli.folder).exit_code == 2


def test_the_command_line_tells_statistics(cli: Cli) -> None:
    found = cli.json("statistics", "tiny", "stem", "--dataset", "digits")
    assert (found["images"], [unit["unit"] for unit in found["units"]]) == (
        DATASET_SIZE,
        ["stem:0", "stem:1"],
    )
    assert (found["units"][0]["counts"], found["units"][0]["quantiles"]) == (
        list(COUNTS),
        {"0.1": 1, "0.5": 2},
    )
    (unit,) = cli.json("statistics", "tiny", "stem:1", "--dataset", "digits")["units"]
    assert unit["unit"] == "stem:1"
    text = cli.run("statistics", "tiny", "stem:1", "--dataset", "digits").stdout
    assert "0.375" in text
    assert text.splitlines()[-2:] == ["0.1          1      ", "0.5          2      "]


def test_a_histogram_in_one_line() -> None:
    assert _bars((0, 1, 8, 16)) == " ▁▄█"
    assert _bars((0, 0)) == "  "
