"""A click-through in a real browser: every page at two widths, light and dark, with axe-core; what
fills, grows and is swapped in; the keyboard alone; and reading without JavaScript.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.web.browser.conftest import Open
from tests.web.conftest import DEEPER, LAYER, NET

UNIT = f"/{NET}/{DEEPER}/3"
PAGES = {
    "home": "/",
    "network": f"/{NET}",
    "layer": f"/{NET}/{LAYER}",
    "unit": UNIT,
    "tuning": f"/-/tuning?model={NET}&layer={DEEPER}&unit=3",
    "facets": f"/-/facets?model={NET}&layer={DEEPER}&unit=3",
    "role": f"/-/role?model={NET}&layer={DEEPER}&unit=3",
    "lab": f"/-/lab?model={NET}&dataset=digits&number=5",
    "audits": "/-/audits",
    "running": "/-/running",
    "sign-in": "/-/sign-in",
    "missing": "/no-such-network",
}
LOOKS = [(1600, "light"), (1600, "dark"), (400, "light"), (400, "dark")]


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_used_by_everyone(visitor: Open, name: str, width: int, scheme: str) -> None:
    seen = visitor(width, scheme)
    seen.go(PAGES[name])
    if name in ("layer", "unit"):
        expect(seen.page.locator(".pic img, .lens img").first).to_be_visible()
    seen.shoot(f"{name}-{scheme}-{width}")
    assert seen.violations() == []
    assert seen.overflow() <= 0
    missing = ["Failed to load resource: the server responded with a status of 404 (Not Found)"]
    assert seen.complaints == (missing if name == "missing" else [])


def test_a_grid_fills_and_leads_to_a_unit(visitor: Open) -> None:
    seen = visitor()
    seen.go(f"/{NET}/{DEEPER}")
    expect(seen.page.locator(".cells img")).to_have_count(16)
    seen.page.locator('a[href$="/5"]').click()
    expect(seen.page.locator("h1")).to_contain_text("5")
    expect(seen.page.locator(".certificate")).to_contain_text("The unit answers to it")
    assert seen.complaints == []


def test_a_picture_grows_and_is_judged(visitor: Open) -> None:
    seen = visitor()
    seen.go(f"{UNIT}?seed=11&steps=48")
    expect(seen.page.locator(".lens img")).to_be_visible()
    expect(seen.page.locator(".certificate")).to_contain_text("The unit answers to it")
    expect(seen.page.locator("figcaption progress")).to_have_count(0)
    seen.shoot("unit-grown")
    assert seen.complaints == []


def test_parts_of_the_page_are_measured_on_demand(visitor: Open) -> None:
    seen = visitor()
    seen.go(UNIT)
    for button, said in (
        ("Find its facets", "of the exemplars"),
        ("Measure its tuning", "pixels a period"),
        ("Measure which logits it moves, and what PGD does to it", "What each logit loses"),
    ):
        seen.page.get_by_role("link", name=button).click()
        expect(seen.page.get_by_text(said).first).to_be_visible()
    assert seen.page.url.endswith(UNIT), "the page itself stayed"
    assert seen.violations() == []
    seen.shoot("unit-whole")
    assert seen.complaints == []


def test_a_bar_shows_the_images_there(visitor: Open) -> None:
    seen = visitor()
    seen.go(UNIT)
    bar = seen.page.locator(".histogram a").first
    bar.click()
    expect(seen.page.locator(".histogram a[aria-current]")).to_have_count(1)
    assert seen.page.url.endswith(UNIT)
    assert seen.complaints == []


def test_a_problem_is_shown_in_the_page(visitor: Open) -> None:
    """The first layer has none before it, by which its exemplars could be grouped."""
    seen = visitor()
    seen.go(f"/{NET}/{LAYER}/2")
    seen.page.get_by_role("link", name="Find its facets").click()
    expect(seen.page.get_by_role("alert")).to_be_visible()


def test_the_keyboard_alone_reaches_a_unit_and_its_neighbour(visitor: Open) -> None:
    seen = visitor()
    seen.go(f"/{NET}/{LAYER}")
    seen.page.keyboard.press("Tab")
    expect(seen.page.locator(".skip")).to_be_focused()
    seen.page.keyboard.press("Enter")
    for _ in range(12):
        seen.page.keyboard.press("Tab")
        if seen.page.evaluate("document.activeElement.closest('.cells') !== null"):
            break
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("h1")).to_contain_text("0")
    seen.page.keyboard.press("ArrowRight")
    expect(seen.page.locator("h1")).to_contain_text("1")


@pytest.mark.parametrize("name", ["home", "network", "layer", "unit"])
def test_without_scripts_everything_can_be_read(visitor: Open, name: str) -> None:
    seen = visitor(scripts=False)
    seen.go(PAGES[name], "domcontentloaded")
    pictures = seen.page.locator(".cells img, .lens img")
    expect(pictures.first).to_be_visible()
    shown = pictures.first.evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert shown > 0
