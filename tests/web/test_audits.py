"""Audits: started by a form, watched, and read in place."""

from __future__ import annotations

import pytest

from tests.toys_server import eventually
from tests.web.conftest import NET
from tests.web.toys_microscope import Running

FORM = {
    "model": NET,
    "dataset": "digits",
    "limit": "16",
    "attack": "fgsm",
    "norm": "linf",
    "epsilons": "2/255, 4/255",
    "seed": "1",
}


def test_an_audit_is_started_watched_and_read(web: Running) -> None:
    page = web.get("/-/audits")
    started = web.post("/-/audits", {**FORM, "proof": page.proof}, cookie=page.cookie)
    assert started.status == 303, started.text
    watched = started.headers["location"]
    assert f"Audit of {NET} on digits" in web.get(watched).text
    eventually(lambda: "hx-trigger" not in web.get(watched).text, 240)
    done = web.get(watched).text
    assert "The audit" in done
    report = web.get(watched.replace("/watch?", "/report?"))
    assert report.status == 200
    assert NET in report.text
    policy = report.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert f"Audit of {NET} on digits" in web.get("/-/audits").text


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": ""},
        {"model": "nobody"},
        {"dataset": "photo-patches"},
        {"dataset": ""},
        {"limit": "-1"},
        {"epsilons": "much"},
        {"epsilons": ""},
        {"norm": "l7"},
        {"attack": "magic"},
    ],
)
def test_what_cannot_be_audited_is_told_in_words(web: Running, wrong: dict[str, str]) -> None:
    page = web.get("/-/audits")
    answer = web.post("/-/audits", {**FORM, **wrong, "proof": page.proof}, cookie=page.cookie)
    assert answer.status in (400, 404, 409), answer.text
    assert "<h1>" in answer.text


@pytest.mark.parametrize("page", ["watch", "report"])
@pytest.mark.parametrize("name", ["", "operations/nothing", "../secrets"])
def test_an_audit_that_is_not_there(web: Running, page: str, name: str) -> None:
    assert web.get(f"/-/audits/{page}?operation={name}").status in (400, 404)
