"""Layers and classes with names of any characters: every page of theirs has an address that works,
and shows them as they are called.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator

import pytest

import striate
from striate_web.names import address
from striate_web.views.layers import bare
from tests.e2e.test_odd_names import CLASSES, NETWORK, ODD
from tests.toys_server import start, stop
from tests.web.toys_microscope import Running, microscope

pytestmark = pytest.mark.slow  # a server of its own


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("odd-web")
    (folder / "odd_network.py").write_text(NETWORK)
    (folder / "striate.toml").write_text(
        '[models.odd]\nfactory = "odd_network:build"\nsize = 16\nmean = [0.5, 0.5, 0.5]\n'
        f"std = [0.5, 0.5, 0.5]\nlabels = {json.dumps(CLASSES)}\n"
    )
    flags = ("--settings", str(folder / "striate.toml"), "--model", "odd")
    server = start(folder, *flags, environment={"PYTHONPATH": str(folder)})
    try:
        target = server.wait_until_it_serves()
        with striate.connect(target, timeout=120) as service:
            service.build_index("odd", "photo-patches", ODD[:1], limit=64).wait()
        with microscope(folder, target) as running:
            yield running
            assert running.log.read_text() == ""
    finally:
        stop(server, kill=True)


@pytest.mark.parametrize("layer", ODD)
def test_every_layer_and_unit_has_an_address(odd: Running, layer: str) -> None:
    title = bare(layer)
    listed = odd.get("/odd").text
    assert address("odd", title) in html.unescape(listed)
    page = odd.get(address("odd", title))
    assert page.status == 200
    assert title in html.unescape(page.text)
    assert odd.get(address("odd", title, 2)).status == 200
    assert odd.get(address("odd", title, 2) + ".png?steps=2").body.startswith(b"\x89PNG")
    (stream,) = re.findall(r'data-stream="([^"]+)"', page.text)
    sent = odd.get(html.unescape(stream) + "&steps=2").text
    assert sent.count("event: picture") == 6
    assert "event: done" in sent


def test_an_index_of_an_odd_layer_is_found(odd: Running) -> None:
    page = odd.get(address("odd", bare(ODD[0]), 1))
    assert 'id="exemplars"' in page.text
    assert page.text.count('class="pair"') > 0
    (bar, *_) = re.findall(r'hx-get="([^"]+)"', page.text)
    assert 'id="exemplars"' in odd.get(html.unescape(bar), hx_request="true").text


def test_classes_are_called_as_they_are(odd: Running) -> None:
    page = html.unescape(odd.get("/odd/logits").text)
    for name in CLASSES:
        assert name in page
    for number, name in enumerate(CLASSES):
        assert name in html.unescape(odd.get(f"/odd/logits/{number}").text)
