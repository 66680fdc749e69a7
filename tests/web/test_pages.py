"""The pages as they are sent: what they hold, weigh and let the browser keep, and what they say of
what they were not meant for.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.toys_server import free_port
from tests.web.conftest import DEEPER, LAYER, NET
from tests.web.toys_microscope import Running, microscope

PAGES = ["/", f"/{NET}", f"/{NET}/{LAYER}", f"/{NET}/{LAYER}/3", "/-/running", "/-/sign-in"]
MOST_BYTES = 150_000


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_light_and_kept_by_its_digest(web: Running, page: str) -> None:
    first = web.get(page)
    assert first.status == 200
    assert len(first.body) < MOST_BYTES
    assert "HttpOnly" in first.headers["set-cookie"]
    assert "SameSite=lax" in first.headers["set-cookie"]
    tag = first.headers["etag"]
    again = web.get(page, cookie=first.cookie, if_none_match=tag)
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)


@pytest.mark.parametrize("page", [*PAGES, "/nothing-here"])
def test_nothing_comes_from_elsewhere_or_stands_inline(web: Running, page: str) -> None:
    answer = web.get(page)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", answer.text)
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", answer.text)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_picture_of_a_unit_has_an_address_that_stays(web: Running) -> None:
    first = web.get(f"/{NET}/{LAYER}/3.png")
    assert first.body.startswith(b"\x89PNG")
    again = web.get(f"/{NET}/{LAYER}/3.png", if_none_match=first.headers["etag"])
    assert again.status == 304
    page = web.get(f"/{NET}/{LAYER}/3").text  # which remembers the picture now
    (source,) = re.findall(r'<div class="lens"><img src="([^"]+)"', page)
    kept = web.get(source)
    assert kept.body == first.body
    assert "immutable" in kept.headers["cache-control"]
    assert "The unit answers to it with" in page


def test_a_unit_shows_its_images_and_those_of_a_bar(web: Running) -> None:
    page = web.get(f"/{NET}/{LAYER}/3").text
    bars = re.findall(r'href="([^"]*bar=\d+)" hx-get', page)
    assert bars
    assert (
        sum(int(n.replace(",", "")) for n in re.findall(r'aria-label="([\d,]+) images', page))
        == 256
    )
    part = web.get(bars[-1].replace("&amp;", "&"), hx_request="true").text
    assert part.lstrip().startswith('<div id="exemplars">')
    assert 'aria-current="true"' in part
    (source, *_) = re.findall(r'<img src="([^"]+)"', part)
    assert web.get(source).body.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("facets", "of the exemplars"),
        ("tuning", "pixels a period"),
        ("role", "What each logit loses"),
    ],
)
def test_what_is_measured_on_demand_is_a_page_and_a_part(
    web: Running, part: str, said: str
) -> None:
    address = f"/-/{part}?model={NET}&layer={DEEPER}&unit=3&dataset=digits"
    whole, piece = web.get(address), web.get(address, hx_request="true")
    assert said in whole.text
    assert said in piece.text
    assert whole.text.startswith("<!doctype html>")
    assert piece.text.lstrip().startswith(f'<section id="{part}">')


@pytest.mark.parametrize("order", ["number", "activity", "sparsity", "ratio", "orientation"])
def test_a_layer_shows_every_unit_once_in_every_order(web: Running, order: str) -> None:
    page = web.get(f"/{NET}/{LAYER}?sort={order}").text
    cells = re.findall(r'data-cell="0\.(\d+)"', page)
    assert sorted(map(int, cells)) == list(range(6))


def test_two_networks_stand_side_by_side(web: Running) -> None:
    page = web.get("/cifar10-plain/conv1?beside=cifar10-robust").text
    for number in (0, 1):
        assert len(re.findall(rf'data-cell="{number}\.', page)) == 32


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/no-such-network", 404),
        (f"/{NET}/no-such-layer", 404),
        (f"/{NET}/{LAYER}/6", 404),
        (f"/{NET}/{LAYER}/-1", 404),
        (f"/{NET}/{LAYER}/%00", 404),
        (f"/{NET}/{LAYER}/7/8", 404),
        (f"/{NET}/{LAYER}/9999999999999999999999", 404),
        (f"/{NET}/{LAYER}/99.png", 404),
        (f"/{NET}/{LAYER}?sort=beauty", 400),
        (f"/{NET}/{LAYER}?first=-1", 400),
        (f"/{NET}/{LAYER}?beside=nobody", 404),
        (f"/{NET}/{LAYER}/3?seed=minus", 400),
        (f"/{NET}/{LAYER}/3?steps=100000", 400),
        (f"/{NET}/{LAYER}/3?bar=9999", 400),
        (f"/{NET}/{LAYER}/3?dataset=nothing", 404),
        ("/-/nothing", 404),
        ("/-/pictures/../../etc/passwd", 404),
        ("/-/pictures/" + "0" * 64 + ".png", 404),
        ("/-/static/..%2f..%2fapp.py", 404),
        ("/-/stream", 400),
        ("/-/facets?model=&layer=&unit=x", 404),
        (f"/-/grow?model={NET}&layer={LAYER}", 404),
        ("/<script>alert(1)</script>", 404),
        ("/" + "a" * 3000, 400),
    ],
)
def test_what_is_not_there_is_said_in_words(web: Running, address: str, status: int) -> None:
    answer = web.get(address)
    assert answer.status == status
    assert "Traceback" not in answer.text
    assert "<script>alert" not in answer.text
    assert "<h1>" in answer.text


def test_a_stream_of_something_wrong_says_so(web: Running) -> None:
    answer = web.get(f"/-/grow?model={NET}&layer={LAYER}&unit=99")
    assert "event: failed" in answer.text
    assert "Traceback" not in answer.text
    assert "event: done" not in answer.text


def test_another_name_than_its_own_is_refused(web: Running) -> None:
    assert web.get("/", host="evil.example").status == 400


def test_the_icon_is_found_where_browsers_look(web: Running) -> None:
    answer = web.get("/favicon.ico")
    assert answer.headers["content-type"].startswith("image/svg+xml")


def test_a_server_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    with microscope(tmp_path, f"127.0.0.1:{free_port()}") as alone:
        answer = alone.get("/")
        assert answer.status == 503
        assert "Traceback" not in answer.text
