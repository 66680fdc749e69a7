"""Small disks and read-only ones: tmpfs in a mount namespace of a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def require_mounts() -> None:
    """Skip the test where no namespace can be made."""
    if shutil.which("unshare") is None:
        pytest.skip("small disks are mounted by unshare(1), which is not here")
    made = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"this user may not mount in a namespace: {made.stderr.strip()}")


def in_mount(tmp_path: Path, size: str, code: str, timeout: float = 240.0) -> str:
    """Run Python code whose `FOLDER` is a small disk of its own.

    Args:
        tmp_path: a folder, below which the disk is mounted.
        size: of the disk, e.g. "4m".
        code: with the name `FOLDER`.
        timeout: seconds.

    Returns:
        What the code printed.

    Raises:
        AssertionError: it ended badly.
    """
    require_mounts()
    disk = tmp_path / "disk"
    disk.mkdir()
    script = tmp_path / "code.py"
    script.write_text(f"from pathlib import Path\nFOLDER = Path({str(disk)!r})\n{code}")
    mount = f"mount -t tmpfs -o size={size} none {disk} && exec {sys.executable} {script}"
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=timeout,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return ran.stdout


def read_only(folder: Path) -> None:
    """Make the disk that is mounted there read-only, from inside `in_mount`."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
