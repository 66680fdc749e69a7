"""The wheels of the project, built and read, and commands in environments of their own."""

import os
import re
import subprocess
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

from tests.conftest import ROOT

UV = ROOT / ".uv" / "bin" / "uv"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a command without the settings of this process, and returns what it printed."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STRIATE_", "PYTHON", "VIRTUAL_ENV"))
    }
    return subprocess.run(
        command,
        cwd=ROOT,
        env=kept,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def output(*command: str | Path) -> str:
    """The standard output of a command that must succeed."""
    result = run(*command)
    assert result.returncode == 0, f"{' '.join(map(str, command[:4]))}: {result.stderr[-4000:]}"
    return result.stdout


def build(project: Path, out: Path) -> zipfile.ZipFile:
    """Builds the wheel of a project with the backend that uv carries, so that nothing is
    downloaded.
    """
    output(UV, "build", "--offline", "--wheel", "--out-dir", out, project)
    (wheel,) = out.glob("*.whl")
    return zipfile.ZipFile(wheel)


def metadata(wheel: zipfile.ZipFile) -> Message:
    """The METADATA of a wheel."""
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def requirements(wheel: zipfile.ZipFile) -> set[str]:
    """The names of the distributions that a wheel requires, extras aside."""
    return {
        re.split(r"[^A-Za-z0-9._-]", line)[0]
        for line in metadata(wheel).get_all("Requires-Dist", [])
        if "extra ==" not in line
    }
