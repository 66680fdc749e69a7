"""The log shows what strangers send, and obeys none of it."""

import json
import re
from collections.abc import Iterator

import pytest
import structlog

from service.config import Settings
from service.config.log import set_up_log, visible
from striate._formats import text as of_client

HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\u202egnp.exe\u2066c\x9b31md\x85\r{}"


@pytest.fixture(autouse=True)
def afterwards() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def obeyed(line: str) -> set[str]:
    """Characters that are not shown, but for the log's own colours and its newline."""
    plain = re.sub(r"\x1b\[\d*m", "", line.rstrip("\n"))
    return {each for each in plain if not each.isprintable()}


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_name_writes_nothing_to_the_terminal(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_log(Settings.model_validate({"log_format": form}))
    structlog.get_logger("striate").info("call", error=HOSTILE, method="/x")
    line = capsys.readouterr().err
    assert obeyed(line) == set()
    assert r"\u202egnp.exe" in line
    if form == "json":
        assert json.loads(line)["error"] == HOSTILE


def test_a_name_makes_no_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_log(Settings.model_validate({"log_format": "console"}))
    structlog.get_logger("striate").info("call", error="x\n2026-01-01 [error] forged")
    assert capsys.readouterr().err.count("\n") == 1


def test_what_is_seen_stays_as_it_is() -> None:
    seen = "Köln, 猫, שלום, \U0001f408, tab\t and\nlines, C:\\x1b"
    assert visible(seen) == of_client.visible(seen) == seen


def test_the_client_and_the_service_escape_the_same() -> None:
    for code in (*range(0x3000), *range(0xD7FF, 0xE001), 0xFEFF, 0x1F408):
        assert visible(chr(code)) == of_client.visible(chr(code))
