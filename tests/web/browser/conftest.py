"""A real browser: Debian's Chromium, driven by Playwright. Without it these tests are skipped, but
fail where CI is set, which installs it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import ROOT
from tests.web.toys_microscope import Running

AXE = ROOT / "tests" / "web" / "axe" / "axe.min.js"
SHOTS = ROOT / "out" / "web"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    program = shutil.which("chromium")
    if program is None:
        message = "there is no chromium here: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    expect.set_options(timeout=90_000)  # pictures are computed, on whatever machine this is
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


class Visitor:
    """A browser's window on the microscope.

    Attributes:
        page: what Playwright drives.
        complaints: errors and warnings of its console, and failed requests.
    """

    def __init__(self, page: Page, web: Running) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._web = web
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def go(self, path: str, until: Literal["load", "domcontentloaded"] = "load") -> None:
        """Opens a page and waits until it is there, with its pictures or without."""
        self.page.goto(self._web.address + path, wait_until=until)

    def shoot(self, name: str) -> None:
        """Keeps a screenshot of the whole page below out/web."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)

    def violations(self) -> list[str]:
        """What axe-core finds wrong for people who use a screen reader or the keyboard."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
            for one in found["violations"]
        ]

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


Open = Callable[..., Visitor]


@pytest.fixture
def visitor(browser: Browser, web: Running) -> Iterator[Open]:
    """Opens windows: `visitor(width=400, scheme="dark", scripts=False)`."""
    contexts = []

    def opened(width: int = 1600, scheme: str = "light", scripts: bool = True) -> Visitor:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=scripts,
        )
        context.set_default_timeout(60_000)
        contexts.append(context)
        return Visitor(context.new_page(), web)

    yield opened
    for context in contexts:
        context.close()
