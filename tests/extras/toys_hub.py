"""A stand-in of Hugging Face's hub on loopback, which serves the files of one repository."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"


class _Hub(http.server.BaseHTTPRequestHandler):
    """Answers `/REPOSITORY/resolve/REVISION/FILE` with the headers that the hub's library reads."""

    def __init__(self, folder: Path, repository: str, *args: object) -> None:
        self._folder, self._repository = folder, repository
        super().__init__(*args)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        """Answer the question for a file's digest and length."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Answer with a file."""
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        before, _, rest = self.path.partition("/resolve/")
        path = self._folder / rest.partition("/")[2]
        if before != f"/{self._repository}" or not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        contents = path.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(contents).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Content-Length", str(len(contents)))
        self.end_headers()
        if body:
            self.wfile.write(contents)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep the output of the tests quiet."""


@contextmanager
def hub(folder: Path, repository: str) -> Iterator[str]:
    """Serve a folder as a repository of the hub's.

    Args:
        folder: of the files.
        repository: "ORGANIZATION/REPOSITORY".

    Yields:
        The address, for the variable HF_ENDPOINT.
    """
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, folder, repository))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
