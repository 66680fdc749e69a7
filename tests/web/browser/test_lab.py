"""The lab in a real browser: an image is chosen, drawn, attributed and attacked."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.web.browser.conftest import Open
from tests.web.conftest import NET

LAB = f"/-/lab?model={NET}"


def picture() -> bytes:
    """A white bar on black, larger than the network's input."""
    drawn = Image.new("L", (96, 96))
    drawn.paste(255, (42, 16, 54, 80))
    file = io.BytesIO()
    drawn.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("width", [1600, 400])
def test_an_image_is_seen_explained_and_attacked(visitor: Open, width: int) -> None:
    seen = visitor(width)
    seen.go(LAB)
    chosen = {"name": "one.png", "mimeType": "image/png", "buffer": picture()}
    seen.page.locator("input[type=file]").set_input_files(chosen)  # type: ignore[arg-type]
    seen.page.get_by_role("button", name="Look").click()
    expect(seen.page.locator("#look .bars li")).to_have_count(5)
    seen.page.get_by_role("button", name="Attribute").click()
    expect(seen.page.locator("#attribution img")).to_have_count(2)
    seen.page.locator("input[type=range]").focus()
    for _ in range(4):
        seen.page.keyboard.press("ArrowRight")
    expect(seen.page.locator("#bench figure")).to_have_count(4)
    expect(seen.page.locator(".verdict")).to_contain_text("PGD within")
    with seen.page.expect_download() as download:
        seen.page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.startswith("adversarial-")
    seen.shoot(f"lab-attacked-{width}")
    assert seen.violations() == []
    assert seen.overflow() <= 0
    assert seen.complaints == []


def test_the_network_follows_the_pen(visitor: Open) -> None:
    seen = visitor()
    seen.go(LAB)
    box = seen.page.locator("canvas").bounding_box()
    assert box is not None
    mouse = seen.page.mouse
    mouse.move(box["x"] + 112, box["y"] + 40)
    mouse.down()
    for step in range(12):
        mouse.move(box["x"] + 112, box["y"] + 40 + 12 * step)
    mouse.up()
    expect(seen.page.locator("#look .bars li")).to_have_count(5)
    expect(seen.page.locator("#look .volumes li").first).to_be_visible()
    seen.shoot("lab-drawn")
    assert seen.violations() == []
    assert seen.complaints == []
