"""A browser that leaves stops its work on the gRPC server."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from tests.toys_server import Server, eventually, metric
from tests.web.conftest import NET
from tests.web.toys_microscope import Running

CANCELLED = 'striate_jobs_total{reason="cancelled"}'
RUNNING = "striate_running_jobs"


@pytest.mark.parametrize(
    "address",
    [
        "/-/grow?model=cifar10-plain&layer=layer2.0&unit=7&steps=4096",
        "/-/stream?model0=cifar10-plain&layer0=layer2.0&from0=0&to0=128&steps=4096",
        "/cifar10-plain/layer2.0/9.png?steps=4096",
    ],
)
def test_who_leaves_stops_the_work(server: Server, web: Running, address: str) -> None:
    before = metric(server.metrics_port, CANCELLED)
    connection = http.client.HTTPConnection(urlsplit(web.address).netloc, timeout=60)
    connection.request("GET", address)
    eventually(lambda: metric(server.metrics_port, RUNNING) > 0)
    connection.close()
    eventually(lambda: metric(server.metrics_port, CANCELLED) > before)


def test_a_stream_brings_every_picture_once_and_ends(web: Running) -> None:
    answer = web.get(f"/-/stream?model0={NET}&layer0=c1&from0=0&to0=6&steps=4")
    assert answer.text.count("event: picture") == 6
    assert answer.text.rstrip().endswith("event: done\ndata: {}")


def test_a_picture_grows(web: Running) -> None:
    answer = web.get(f"/-/grow?model={NET}&layer=c1&unit=2&steps=64&seed=3")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("event: step") == 64
    assert answer.text.count('"src": "/-/pictures/') > 2
    assert answer.text.index("event: result") < answer.text.index("event: done")
