"""What a command prints."""

import json
import math

import pytest

from striate._cli.screen import Screen


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


def test_names_are_never_cut_and_empty_columns_are_named_beside_the_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    names = [f"layer{i}.0.block.conv_with_a_long_name_{i}" for i in range(3)]
    sentence = "its output (197, 768) is a sequence, which has no rows and columns " * 2
    rows = [(name, "operations/" + 40 * "f", "", None, sentence) for name in names]
    Screen(False).table(("layer", "operation", "kernel", "stride", "no units"), rows)
    out, err = capsys.readouterr()
    assert all(name in out for name in names)
    assert out.count("operations/" + 40 * "f") == 3
    assert "…" not in out
    assert "kernel" not in out
    assert "without values, so not shown: kernel, stride" in err
    assert " ".join(out.split()).count("sequence,") == 6


def test_a_table_without_rows_keeps_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(False).table(("layer", "type"), [])
    assert capsys.readouterr().out.split() == ["layer", "type"]


HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\u202egnp.exe\u2066c\x9b31md\x85[bold]"


def test_names_of_strangers_are_shown_and_never_obeyed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen(False)
    screen.line(HOSTILE)
    screen.note(HOSTILE)
    screen.fail(ValueError(HOSTILE))
    screen.table(["name", HOSTILE], [[HOSTILE, 1]])
    out, err = capsys.readouterr()
    for written in (out, err):
        assert {each for each in written if not each.isprintable()} == {"\n"}
        assert r"a\x1b[2J" in written
        assert r"b\u202egnp.exe\u2066c\x9b31md\x85[bold]" in written
