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
