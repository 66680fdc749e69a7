"""A microscope that many tests share, over the server that they share, and an index of digits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import striate
from tests.toys_server import Server
from tests.web.toys_microscope import Running, microscope

NET = "digits-lenet5"
LAYER = "c1"  # 6 units of 28 x 28
DEEPER = "c3"  # 16 units of 10 x 10


@pytest.fixture(scope="session")
def web(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The microscope of the shared server."""
    with striate.connect(server.target, timeout=120) as service:
        service.build_index(NET, "digits", [LAYER, DEEPER], limit=256).wait()
    with microscope(tmp_path_factory.mktemp("web"), server.target) as running:
        yield running
        assert running.log.read_text() == "", "nothing unexpected was logged"
