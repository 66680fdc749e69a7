"""`make serve`: the gRPC server, and the microscope in front of it, until Ctrl-C.

What stands behind "--" goes to `striate web`, all else to `striate-server`.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

_BIN = Path(sys.executable).parent
_ANNOUNCEMENT = "striate listening on "
_STOP_SECONDS = 60.0  # the server gives running calls time to finish


def main(words: Sequence[str]) -> int:
    """Serves until the server ends, or somebody ends this.

    Args:
        words: Flags.

    Returns:
        The server's exit code.
    """
    cut = words.index("--") if "--" in words else len(words)
    with _process("striate-server", *words[:cut]) as server:
        target = _address(server)
        if target is None:
            return server.wait()
        with _process("striate", "web", "--server", target, *words[cut + 1 :]) as web:
            _address(web)
            return server.wait()


def _address(process: subprocess.Popen[str]) -> str | None:
    """Hands on what a program prints, up to the server's address; None at the end."""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        if line.startswith(_ANNOUNCEMENT):
            return line.removeprefix(_ANNOUNCEMENT).strip()
    return None


@contextlib.contextmanager
def _process(program: str, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """A program that is ended with the block."""
    command = [str(_BIN / program), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    sys.exit(main(sys.argv[1:]))
