"""`make serve`: both programs start, and both end with it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_server_and_microscope_serve_and_end_together(tmp_path: Path) -> None:
    flags = ["--port", "0", "--threads", "1", "--model", "digits-lenet5"]
    state = ["--state-dir", str(tmp_path / "state")]
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.serve", *flags, *state, "--", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        server, web = process.stdout.readline(), process.stdout.readline()
        assert server.startswith("striate listening on 127.0.0.1:")
        found = re.fullmatch(r"striate microscope on (http://127\.0\.0\.1:\d+)\n", web)
        assert found is not None, web
        with urllib.request.urlopen(found[1], timeout=60) as page:
            assert b"digits-lenet5" in page.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(found[1], timeout=10)
    finally:
        process.kill()
        process.wait()
