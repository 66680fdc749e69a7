"""Forms: none is taken from another page, tokens are the visitor's own, and starting work works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from striate_web.app import application
from striate_web.settings import Settings
from tests.e2e.test_authorization import write
from tests.toys_server import serving
from tests.web.conftest import NET
from tests.web.toys_microscope import Running, microscope

POSTS = ["/-/lab/images", "/-/audits", "/-/indexes", "/-/cancel", "/-/sign-in", "/-/sign-out"]


def test_these_are_all_forms() -> None:
    routes = application(Settings("localhost:1")).routes
    methods = {route.path: route.methods for route in routes}  # type: ignore[attr-defined]
    taking = {route.path for route in routes if "POST" in (route.methods or ())}  # type: ignore[attr-defined]
    assert taking == set(POSTS), methods


@pytest.mark.parametrize("path", POSTS)
def test_a_form_without_the_visitors_own_proof_is_refused(web: Running, path: str) -> None:
    mine, hers = web.get("/-/sign-in"), web.get("/-/sign-in")
    assert mine.proof != hers.proof
    assert web.post(path, {}, cookie=mine.cookie).status == 403
    assert web.post(path, {"proof": hers.proof}, cookie=mine.cookie).status == 403
    assert web.post(path, {"proof": mine.proof}).status == 403
    foreign = web.post(path, {"proof": mine.proof}, cookie=mine.cookie, sec_fetch_site="cross-site")
    assert foreign.status == 403


@pytest.mark.parametrize("path", POSTS[1:])  # the first takes files
def test_a_large_form_is_refused(web: Running, path: str) -> None:
    mine = web.get("/-/sign-in")
    sent = {"proof": mine.proof, "token": "x" * 100_000}
    assert web.post(path, sent, cookie=mine.cookie).status == 413


def test_an_index_is_built_and_seen_running(web: Running) -> None:
    mine = web.get(f"/{NET}/c3")
    sent = {"proof": mine.proof, "model": NET, "layer": "c3", "dataset": "digits"}
    started = web.post("/-/indexes", sent, cookie=mine.cookie)
    assert (started.status, started.headers["location"]) == (303, "/-/running")
    assert f"Index of {NET} on digits: c3" in web.get("/-/running").text


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, dict[str, str]]]:
    """A microscope of a server that asks who is there, and tokens by role."""
    folder = tmp_path_factory.mktemp("guarded")
    tokens = write(folder / "auth.toml", "read", "compute")
    flags = ("--model", NET, "--auth", str(folder / "auth.toml"))
    with serving(folder, *flags) as (_, target), microscope(folder, target) as running:
        yield running, tokens


def test_a_visitor_signs_in_with_a_token_and_out(
    guarded: tuple[Running, dict[str, str]],
) -> None:
    web, tokens = guarded
    refused = web.get(f"/{NET}")
    assert refused.status == 401
    assert f"/-/sign-in?back=%2F{NET}" in refused.text
    form = web.get(f"/-/sign-in?back=%2F{NET}")
    sent = {"proof": form.proof, "back": f"/{NET}", "token": tokens["read"]}
    signed = web.post("/-/sign-in", sent, cookie=form.cookie)
    assert (signed.status, signed.headers["location"]) == (303, f"/{NET}")
    assert signed.cookie not in ("", form.cookie), "the number before may be known to others"
    assert tokens["read"] not in str(signed.headers)
    page = web.get(f"/{NET}", cookie=signed.cookie)
    assert page.status == 200
    assert tokens["read"] not in page.text
    assert web.get(f"/{NET}").status == 401, "nobody else is let in"
    out = web.post("/-/sign-out", {"proof": page.proof}, cookie=signed.cookie)
    assert out.status == 303
    assert web.get(f"/{NET}", cookie=signed.cookie).status == 401


def test_what_one_has_seen_is_not_shown_to_others(
    guarded: tuple[Running, dict[str, str]],
) -> None:
    web, tokens = guarded
    form = web.get("/-/sign-in")
    sent = {"proof": form.proof, "token": tokens["compute"]}
    hers = web.post("/-/sign-in", sent, cookie=form.cookie).cookie
    assert web.get(f"/{NET}/c1/0.png", cookie=hers).status == 200
    assert web.get(f"/{NET}/c1/0.png").status == 401
    assert web.get(f"/{NET}/c1/0").status == 401


@pytest.mark.parametrize("token", ["", "wrong", "two words", "\x00", "é"])
def test_a_token_that_the_server_does_not_know_is_refused(
    guarded: tuple[Running, dict[str, str]], token: str
) -> None:
    web, _ = guarded
    form = web.get("/-/sign-in")
    answer = web.post("/-/sign-in", {"proof": form.proof, "token": token}, cookie=form.cookie)
    assert answer.status in (400, 401)
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize("back", ["//evil.example", "/\\evil.example", "https://evil.example", ""])
def test_nobody_is_sent_elsewhere(guarded: tuple[Running, dict[str, str]], back: str) -> None:
    web, tokens = guarded
    form = web.get("/-/sign-in")
    sent = {"proof": form.proof, "back": back, "token": tokens["read"]}
    assert web.post("/-/sign-in", sent, cookie=form.cookie).headers["location"] == "/"


def test_the_microscopes_log_is_empty(guarded: tuple[Running, dict[str, str]]) -> None:
    web, _ = guarded
    assert Path(web.log).read_text() == ""
