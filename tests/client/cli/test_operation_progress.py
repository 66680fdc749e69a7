"""Waiting for operations, and showing how far they are."""

import pytest

from striate._cli.operation_progress import duration
from tests.client.fakes.fakes_robustness import audited, auditing
from tests.client.toys_cli import Cli


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (45 * 60, "45 min"),
        (6000, "1 h 40 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_checks_before_the_first_image_are_told(cli: Cli) -> None:
    stages = ["waiting", "checks of a", "checks of a", "checks of b", "shard 1 of 2"]
    cli.fake.operation_script.extend(
        [*(auditing(0, stage=stage) for stage in stages), auditing(1), auditing(2), audited()]
    )
    told = cli.run("audit", "tiny", "--dataset", "digits").stderr.splitlines()
    assert told[1:] == [
        *(
            f"0 of 200 images: {stage}"
            for stage in ("waiting", "checks of a", "checks of b", "shard 1 of 2")
        ),
        "200 of 200 images: shard 1",
    ]


def test_a_terminal_shows_a_bar(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # by which rich takes stderr for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    cli.fake.operation_script.extend([auditing(100, 45), audited()])
    result = cli.run("audit", "tiny", "--dataset", "digits")
    assert result.exit_code == 0, result.output
    assert "200/200" in result.stderr
    assert "of 200 images" not in result.stderr, "no lines beside the bar"
