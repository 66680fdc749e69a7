"""`striate load` with a file of labels."""

import pytest

from tests.client.toys_cli import Cli


def test_labels_are_read_from_a_file(cli: Cli) -> None:
    file = cli.folder / "names.txt"
    file.write_bytes("\ufeffrose\r\n\r\n sea lion \r\n".encode())
    cli.json("load", "tiny", "--labels", file)
    cli.json("load", "tiny")
    assert [list(r.labels) for r in cli.fake.requests("LoadModel")] == [["rose", "sea lion"], []]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("rose".encode("utf-16"), "is no text in UTF-8"),
        (b'{"0": "rose"}', "JSON"),
        (b"\n", "is empty"),
        (None, "No such file"),
    ],
)
def test_a_file_that_holds_no_labels(cli: Cli, data: bytes | None, told: str) -> None:
    file = cli.folder / "names.txt"
    if data is not None:
        file.write_bytes(data)
    result = cli.run("load", "tiny", "--labels", file)
    assert result.exit_code == 2
    error = " ".join(result.stderr.replace("│", " ").split())
    assert "--labels" in error
    assert told in error
    assert not cli.fake.requests("LoadModel")
