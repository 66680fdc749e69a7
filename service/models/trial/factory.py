"""Trials of factories: one that hangs, ends its process or crashes does not take the server along.

A trial costs what starting Python with torch and building the network take, some seconds; a factory
that has passed one is not tried again by the same server.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from service.models.checkpoints import ModelError

log = structlog.get_logger("striate")

_LAST = 4000  # characters of what the factory printed that are logged


class FactoryFailed(ModelError):
    """A user's own code cannot make its network. The message is for callers from afar; the log has
    what the code said.
    """


class FactoryTrials:
    """Tries factories, each until it has passed once.

    Args:
        seconds: that one trial may take; 0: there are none.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._passed: set[tuple[str, tuple[int, ...]]] = set()
        self._lock = threading.Lock()

    def passed(self, name: str, factory: str, shape: Sequence[int]) -> None:
        """Try a factory unless it has passed before. Blocks.

        Args:
            name: of the model, for errors.
            factory: "module:function".
            shape: of an image that the network is shown: channels, height, width.

        Raises:
            FactoryFailed: it raises, ends its process, or does not come back in time.
        """
        key = factory, tuple(shape)
        with self._lock:
            if not self._seconds or key in self._passed:
                return
        began = time.monotonic()
        self._try(name, factory, shape)
        log.info("a factory was tried", factory=factory, seconds=round(time.monotonic() - began, 1))
        with self._lock:
            self._passed.add(key)

    def _try(self, name: str, factory: str, shape: Sequence[int]) -> None:
        with tempfile.TemporaryDirectory(prefix="striate-trial-") as folder:
            answer, printed = Path(folder) / "answer.json", Path(folder) / "printed"
            asked = json.dumps(
                {
                    "factory": factory,
                    "shape": [*shape],
                    "answer": str(answer),
                    "stalled": socket.getdefaulttimeout(),  # for its downloads
                }
            )
            with printed.open("wb") as output:
                code = _run(asked, output.fileno(), self._seconds)
            text = printed.read_text(errors="replace")[-_LAST:]
            if code is None:
                why = f"did not come back within {self._seconds:g} seconds"
            elif not answer.is_file():
                why = f"ended its process, with code {code}"
            else:
                said = json.loads(answer.read_text())
                if not said:
                    return
                why, text = "failed", f"{said['error']}\n{text}"
        raise refusal(name, factory, why, text)


def refusal(name: str, factory: str, why: str, text: str) -> FactoryFailed:
    """Log why a factory is refused, and make the error that says it to whoever asked.

    Args:
        name: of the model.
        factory: "module:function".
        why: a predicate in words that hold nothing of the factory's own.
        text: what the factory said.

    Returns:
        The error.
    """
    log.error("a factory failed", model=name, factory=factory, why=why, said=text.strip())
    return FactoryFailed(f"models.{name}.factory {factory!r} {why}; the server's log says more")


def _run(asked: str, output: int, seconds: float) -> int | None:
    """Run the process of a trial.

    Args:
        asked: the line that it reads.
        output: file descriptor of what is printed.
        seconds: that it may take.

    Returns:
        Its code; None where it was killed because the time was up.
    """
    path = os.pathsep.join(place for place in sys.path if place)
    process = subprocess.Popen(
        [sys.executable, "-m", "service.models.trial.program"],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdin is not None
    try:
        process.stdin.write(f"{asked}\n")
        process.stdin.flush()  # and left open: it closes when this process ends
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    except BrokenPipeError:  # it ended before it read
        return process.wait()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
