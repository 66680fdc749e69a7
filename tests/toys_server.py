"""A real `striate-server` in a process of its own: the one way in which tests start one."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue

START_SECONDS = 120.0
STOP_SECONDS = 30.0
_ANNOUNCEMENT = "striate listening on "


@dataclass(frozen=True)
class ServerProcess:
    """A `striate-server` that was started.

    Attributes:
        process: the process, whose standard output is read to its end by a thread.
        log: the file of its standard error.
        lines: what it printed, line by line, then "".
    """

    process: subprocess.Popen[str]
    log: Path
    lines: "Queue[str]"

    def wait_until_it_serves(self) -> str:
        """Wait for the line that tells the address.

        Returns:
            HOST:PORT.

        Raises:
            AssertionError: the server ended or did not start in time; with the end of its log.
        """
        try:
            first = self.lines.get(timeout=START_SECONDS)
        except Empty:
            first = ""
        if not first.startswith(_ANNOUNCEMENT):
            end = self.log.read_text()[-4000:]
            raise AssertionError(f"the server printed {first!r}; its log ends:\n{end}")
        return first.split()[-1]


@dataclass(frozen=True)
class Server:
    """The server that many tests share: `target` is its HOST:PORT."""

    target: str
    metrics_port: int


def free_port() -> int:
    """A port of the loopback interface that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, *flags: str, environment: Mapping[str, str] | None = None) -> ServerProcess:
    """Start a server whose state and log are in a folder, on a free port, with one thread.

    Args:
        folder: of the state (FOLDER/state) and the log (FOLDER/stderr.log, appended to).
        flags: further command-line flags.
        environment: further environment variables; those of Striate itself are not handed on.

    Returns:
        The server, which may not serve yet.
    """
    program = Path(sys.executable).with_name("striate-server")
    command = [str(program), "--port", "0", "--threads", "1", "--state-dir", str(folder / "state")]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("STRIATE_")}
    log = folder / "stderr.log"
    with log.open("a") as errors:
        process = subprocess.Popen(
            [*command, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**ours, **(environment or {})},
            cwd=folder,
        )
    lines: Queue[str] = Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:  # to the end, so that the server never blocks on a full pipe
            lines.put(line)
        process.stdout.close()
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    return ServerProcess(process, log, lines)


def stop(server: ServerProcess, kill: bool = False) -> None:
    """End the server, by SIGTERM and a grace period, or at once."""
    if not kill:
        server.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(STOP_SECONDS)
    server.process.kill()
    server.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def serving(
    folder: Path, *flags: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that serves: its process and HOST:PORT. It is killed in the end if it still runs."""
    server = start(folder, *flags, environment=environment)
    try:
        yield server.process, server.wait_until_it_serves()
    finally:
        stop(server, kill=True)


@contextlib.contextmanager
def shared_server(folder: Path) -> Iterator[Server]:
    """The embedded networks and metrics, served for many tests and ended by SIGTERM."""
    port = free_port()
    started = start(folder, "--metrics-port", str(port))
    try:
        yield Server(started.wait_until_it_serves(), port)
    finally:
        stop(started)


def metric(port: int, name: str) -> float:
    """The value of a metric of a server with `--metrics-port`; 0 where it is not listed."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until a condition holds; fail if it does not within so many seconds."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.05)
