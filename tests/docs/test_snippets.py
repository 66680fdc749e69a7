"""Runs every Python and shell snippet of README.md and docs/ as it stands, against a real server.

The snippets of a page run in order, in one folder and in one namespace, as they would in a
notebook; `localhost:50051`, the address that the pages speak of, becomes the test server's. A
snippet that needs minutes, a download or a server of its own is left out by an invisible comment
before it,
`<!-- skip: next "the reason" -->`.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import SkipTest

import pytest
from sybil import Document, Example, Lexeme, Region, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from striate.v1 import errors_pb2
from tests.toys_server import Server

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
ADDRESS = "localhost:50051"  # of the server that the pages speak of
RUN = {"python", "sh", "toml"}
SHOWN = {"text", "yaml", "diff", "proto"}  # languages of blocks that only show something
SHELL_SECONDS = 120.0
MOST_README = 9000  # bytes
SLOW = {"docs/guides/pictures.md"}


def with_fence(page: Path, *languages: str) -> bool:
    """Whether a page has a code block of one of some languages."""
    return re.search(rf"^```({'|'.join(languages)})$", page.read_text(), re.MULTILINE) is not None


def page_name(page: Path) -> str:
    """A test's name for a page."""
    return page.relative_to(ROOT).as_posix()


def sybil(server: Server, folder: Path) -> Sybil:
    """Put together what reads and runs a page's snippets.

    Args:
        server: the server that they talk to.
        folder: where shell snippets run.
    """

    def run_python(example: Example) -> None:
        read = example.parsed
        source = read.replace(ADDRESS, server.target)
        example.parsed = Lexeme(source, read.offset, read.line_offset)
        PythonEvaluator()(example)

    def run_shell(example: Example) -> str | None:
        return shell(example.parsed.replace(ADDRESS, server.target), server, folder)

    def read_toml(example: Example) -> None:
        tomllib.loads(example.parsed)

    parsers: list[Callable[[Document], Iterable[Region]]] = [
        CodeBlockParser("python", run_python),
        CodeBlockParser("sh", run_shell),
        CodeBlockParser("toml", read_toml),
        SkipParser(),
    ]
    return Sybil(parsers=parsers, path=str(ROOT))


def shell(source: str, server: Server, folder: Path) -> str | None:
    """Run a shell snippet, and stop at its first command that fails.

    Returns:
        What it printed if it failed, else None.
    """
    programs = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "STRIATE_SERVER": server.target,
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", source],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SHELL_SECONDS,
    )
    if done.returncode:
        return (
            f"exit code {done.returncode}\n{source}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
    return None


def run(document: Document) -> list[str]:
    """Run a page's examples in order.

    Returns:
        The reasons of those that the page leaves out.
    """
    left_out = list[str]()
    for example in document.examples():
        try:
            example.evaluate()
        except SkipTest as skipped:
            left_out.append(str(skipped))
    return left_out


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page_name(page) in SLOW else ())
        for page in PAGES
        if with_fence(page, *RUN)
    ],
    ids=page_name,
)
def test_snippets_run(page: Path, server: Server, folder: Path) -> None:
    document = sybil(server, folder).parse(page)
    assert all(run(document)), "a snippet that is left out says why"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_page(page: Path) -> None:
    text = page.read_text()
    fences = re.findall(r"^```(.*)$", text, re.MULTILINE)
    assert set(fences[::2]) <= RUN | SHOWN, "a code block names a language that is run or shown"
    assert not any(fences[1::2]), "code blocks end"
    links = re.findall(
        r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    )
    lost = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not lost, "links lead to files"


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= MOST_README


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {
        (index.parent / link).resolve()
        for link in re.findall(r"\]\(([^)#\s]+\.md)", index.read_text())
    }
    missing = [page_name(page) for page in PAGES if page not in listed and page != index]
    assert missing in ([], ["README.md"])


def test_every_reason_for_an_error_is_listed() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    for name, number in errors_pb2.ErrorReason.items():
        reason = name.removeprefix("ERROR_REASON_")
        assert number == 0 or f"| `{reason}` |" in page, reason
