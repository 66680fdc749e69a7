"""What pages name exists: modules, functions and classes by dotted names, files by their paths; and
the tables of pages are those of the code.
"""

import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

import striate
from service.rpc.errors import INTERNAL_ROW, TABLE
from striate.errors import from_status
from striate.v1 import errors_pb2
from tests.docs.test_snippets import PAGES, ROOT, page_name
from tests.test_arrows import CLIENT, FOLDERS, INTERP, SERVICE, WEB

NAME = r"(?<![\w/.-])(?:interp|service|striate)(?:\.\w+)+"
SUFFIXES = (".md", ".py", ".toml")  # of files, which look like dotted names
PLACEHOLDERS = ("NAME", "SERVICE", "X.Y.Z")  # what a reader fills in
FOLDER = r"(?:interp|service|clients|tests|tools|bench|protos)"
PATH = rf"(?<![\w/]){FOLDER}(?:/[\w.-]+)+"
SPAN = r"`([^`\n]+)`"
PAGES_AND_RULES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "clients" / "README.md"]


def prose(page: Path) -> str:
    """A page without its code blocks, which are run."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def spans(page: Path) -> Iterator[str]:
    """What stands between backticks in a page's prose."""
    yield from re.findall(SPAN, prose(page))


def exists(name: str) -> bool:
    """Whether a dotted name is a module or what can be reached from one; `service` may be the
    client's handle too.
    """
    first, _, rest = name.partition(".")
    if first == "service" and hasattr(striate.Service, rest.partition(".")[0]):
        return True
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def table_of(rooms: Mapping[str, str]) -> str:
    """A table of arrows as a page has it."""
    rows = ["| room | may import |", "|---|---|"]
    for room, to in rooms.items():
        allowed = ", ".join(f"`{other}`" for other in to.split())
        rows.append(f"| `{room}` | {allowed or 'nothing'} |")
    return "\n".join(rows)


@pytest.mark.parametrize("page", PAGES_AND_RULES, ids=page_name)
def test_names_exist(page: Path) -> None:
    text = " ".join(spans(page))
    names = {name for name in re.findall(NAME, text) if not name.endswith(SUFFIXES)}
    paths = {path.rstrip(".") for path in re.findall(PATH, text)}
    paths = {path for path in paths if not path.endswith("_")}  # the beginning of several names
    lost = [name for name in names if not exists(name)]
    lost += [path for path in paths if not (ROOT / path).exists()]
    assert not sorted(name for name in lost if not any(word in name for word in PLACEHOLDERS))


def test_every_package_has_a_line_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    packages = {
        init.parent.relative_to(ROOT).as_posix()
        for root in ("interp", "service", "striate", "striate_web")
        for init in FOLDERS[root].rglob("__init__.py")
    }
    assert not sorted(package for package in packages if f"\n| `{package}` |" not in page)


@pytest.mark.parametrize(
    ("words", "rooms"),
    [
        ("\nIn `interp`, which", INTERP),
        ("\nIn `service`, which", SERVICE),
        ("\nIn `clients/striate`, which", CLIENT),
        ("\nIn `clients/web/striate_web`, which", WEB),
    ],
    ids=["interp", "service", "client", "web"],
)
def test_the_architecture_has_the_arrows(words: str, rooms: Mapping[str, str]) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    expected = table_of(rooms)
    assert expected in page[page.index(words) :], f"docs/architecture.md: write\n{expected}"


def test_errors_have_their_status_and_their_exception() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    listed = dict[str, tuple[str, str]]()
    for line in re.findall(r"^\| `.*$", page, re.MULTILINE):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        listed[cells[0].strip("`")] = (cells[1], cells[2].strip("`"))
    statuses = {row.reason_name: row.code.name for row in [*TABLE.values(), INTERNAL_ROW]}
    expected = {}
    for name, number in errors_pb2.ErrorReason.items():
        if number:
            reason = name.removeprefix("ERROR_REASON_")
            detail = Any()
            detail.Pack(ErrorInfo(reason=reason, domain="striate"))
            error = from_status(Status(code=2, message="", details=[detail]))
            expected[reason] = (statuses[reason], type(error).__name__)
    assert listed == expected
