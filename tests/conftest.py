"""What all tests share: the real data, and a real server process."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.toys_server import Server, shared_server

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
    networks and metrics.
    """
    with shared_server(tmp_path_factory.mktemp("server")) as started:
        yield started
