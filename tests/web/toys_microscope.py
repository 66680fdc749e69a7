"""A microscope in a process of its own, and what its pages answer, without a browser."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

_ANNOUNCEMENT = "striate microscope on "
_PROOF = re.compile(r'name="proof" value="([0-9a-f]{64})"')


@dataclass(frozen=True)
class Answer:
    """What a page answered: headers by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def cookie(self) -> str:
        """The cookie that it sets, as it is sent back; "" for none."""
        return self.headers.get("set-cookie", "").partition(";")[0]

    @property
    def proof(self) -> str:
        """What a form of the page brings back."""
        found = _PROOF.search(self.text)
        assert found is not None, "the page has no form"
        return found[1]


@dataclass(frozen=True)
class Running:
    """A microscope that serves at an address such as "http://127.0.0.1:8080"; `log` is its
    standard error.
    """

    address: str
    log: Path

    def get(self, path: str, **headers: str) -> Answer:
        """Asks for a page; "_" in the names of headers stands for "-"."""
        return self._ask("GET", path, None, headers)

    def post(self, path: str, form: Mapping[str, str], **headers: str) -> Answer:
        """Sends a form."""
        headers["content_type"] = "application/x-www-form-urlencoded"
        return self._ask("POST", path, urlencode(form), headers)

    def _ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=120)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())


@contextlib.contextmanager
def microscope(folder: Path, target: str, *flags: str) -> Iterator[Running]:
    """Serves a microscope of a gRPC server, on a free port.

    Args:
        folder: of its log.
        target: HOST:PORT of the gRPC server.
        flags: further flags.

    Yields:
        The microscope.
    """
    program = Path(sys.executable).with_name("striate")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STRIATE_")}
    log = folder / "microscope.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [program, "web", "--server", target, "--port", "0", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=kept,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(_ANNOUNCEMENT), f"{line!r}; {log.read_text()[-2000:]}"
        yield Running(line.removeprefix(_ANNOUNCEMENT).strip(), log)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
