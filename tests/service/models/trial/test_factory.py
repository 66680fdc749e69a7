"""Factories that hang, end their process or raise are found out in a process of their own."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.models.trial.factory import FactoryFailed, FactoryTrials

pytestmark = pytest.mark.slow  # each trial imports torch

FACTORIES = """
import os, sys, time
from pathlib import Path
from torch import nn

HERE = Path(__file__).parent

class HangsOnImages(nn.Module):
    def forward(self, x):
        assert tuple(x.shape) == (1, 3, 8, 6)
        time.sleep(600)

def good():
    with (HERE / "calls").open("a") as calls:
        calls.write("called\\n")
    return nn.Flatten()

def hangs():
    time.sleep(600)

def leaves():
    print("so long")
    os._exit(0)

def raises():
    print("before the end", file=sys.stderr)
    raise RuntimeError("a secret path")

def crashes():
    os.abort()

def no_module():
    return 3
"""
SHAPE = (3, 8, 6)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "striate_test_trials.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_factory_that_passes_is_tried_once(folder: Path) -> None:
    trials = FactoryTrials(100)
    for _ in range(3):
        trials.passed("mine", "striate_test_trials:good", SHAPE)
    assert (folder / "calls").read_text().splitlines() == ["called"]
    # what is no module the server itself explains
    trials.passed("mine", "striate_test_trials:no_module", SHAPE)


@pytest.mark.parametrize(
    ("function", "why", "said"),
    [
        ("leaves", "ended its process, with code 0", "so long"),
        ("raises", "failed", "RuntimeError: a secret path\nbefore the end"),
        ("crashes", "ended its process, with code -6", ""),
        ("missing", "failed", "AttributeError"),
    ],
)
def test_one_that_fails_is_told_in_general_and_logged_in_detail(
    folder: Path, function: str, why: str, said: str
) -> None:
    name = f"striate_test_trials:{function}"
    with (
        structlog.testing.capture_logs() as log,
        pytest.raises(FactoryFailed) as caught,
    ):
        FactoryTrials(100).passed("mine", name, SHAPE)
    assert str(caught.value) == f"models.mine.factory {name!r} {why}; the server's log says more"
    assert log[0]["event"] == "a factory failed"
    assert str(log[0]["said"]).startswith(said)


@pytest.mark.parametrize("function", ["hangs", "HangsOnImages"])
def test_one_that_hangs_is_killed(
    folder: Path, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = list[int]()

    class Noted(subprocess.Popen[str]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            processes.append(self.pid)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    with pytest.raises(FactoryFailed, match="did not come back within 8 seconds"):
        FactoryTrials(8).passed("mine", f"striate_test_trials:{function}", SHAPE)
    assert processes
    for pid in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_without_seconds_nothing_is_tried() -> None:
    FactoryTrials(0).passed("mine", "no_such_module:at_all", SHAPE)
