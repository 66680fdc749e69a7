"""What all tests share: the real data, and a real server process."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue

import hypothesis
import pytest

# Before anything imports torch: two multi-threaded torch processes on few cores slow each other
# down a hundredfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A run in the background may have inherited that Ctrl-C is ignored, which its children would
# inherit too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run: a new one is worth finding, but not by those who came to test
# something else.
hypothesis.settings.register_profile("striate", derandomize=True, deadline=None)
hypothesis.settings.load_profile("striate")

ROOT = Path(__file__).parents[1]
START_SECONDS = 120.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A running `striate-server`: `target` is its HOST:PORT, `log` the file of its standard
    error.
    """

    target: str
    process: subprocess.Popen[str]
    log: Path


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data that STRIATE_DATA names; tests that ask for it are skipped where it
    is not set.
    """
    folder = os.environ.get("STRIATE_DATA")
    if not folder:
        pytest.skip("STRIATE_DATA is not set: it names the folder of real images and weights")
    return Path(folder)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The command `striate-server` in a process of its own, on a free port, with the embedded
    networks.
    """
    folder = tmp_path_factory.mktemp("server")
    log = folder / "stderr.log"
    program = Path(sys.executable).with_name("striate-server")
    command = [str(program), "--port", "0", "--state-dir", str(folder / "state"), "--threads", "1"]
    settings = {
        name: value for name, value in os.environ.items() if not name.startswith("STRIATE_")
    }
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=settings,
            cwd=folder,
        )
    try:
        yield Server(_target(process, log), process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _target(process: subprocess.Popen[str], log: Path) -> str:
    """HOST:PORT from the line that the server prints once it serves; fails with the end of its log
    if that line does not come.
    """
    lines: Queue[str] = Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:  # to the end, so that the server never blocks on a full pipe
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    try:
        first = lines.get(timeout=START_SECONDS)
    except Empty:
        first = ""
    if not first.startswith("striate listening on "):
        pytest.fail(
            f"the server printed {first!r} and did not start; its log "
            f"ends:\n{log.read_text()[-4000:]}"
        )
    return first.split()[-1]
