"""Who may import whom: walks every import of every module, those inside functions and the dynamic
ones included.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_FOR_INTERP = {
    "grpc",
    "google",
    "striate",
    "service",
    "threading",
    "asyncio",
    "bench",
    "tools",
    "tests",
}
PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
STUB_USERS = {"rpc", "server"}
DISTRIBUTIONS = {
    "googleapis-common-protos": "google",
    "grpcio": "grpc",
    "pillow": "PIL",
    "protobuf": "google",
}


def sources(folder: str) -> list[Path]:
    """The modules below a folder of the project, generated stubs left out."""
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "_pb2" not in path.name)


def module_name(path: Path) -> str:
    """The dotted name of a module file: "service.wire"; a package goes by its folder's name."""
    relative = path.relative_to(ROOT / "clients" if path.is_relative_to(ROOT / "clients") else ROOT)
    return ".".join(relative.with_suffix("").parts).removesuffix(".__init__")


def imports(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """Absolute dotted names of all that a source imports: "a.b" for `import a.b` and for `from a
    import b`.
    """
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                base = package[: len(package) - node.level + 1] if node.level else []
                origin = [*base, *([node.module] if node.module else [])]
                yield from (".".join([*origin, alias.name]) for alias in node.names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module")
                | ast.Attribute(attr="import_module"),
                args=[first, *_],
            ):
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value


def imports_of(path: Path) -> set[str]:
    """What the module in a file imports."""
    return set(imports(path.read_text(), module_name(path), path.name == "__init__.py"))


def top(name: str) -> str:
    """The first part of a dotted name."""
    return name.partition(".")[0]


def relative(path: Path) -> str:
    """A test's name for a file."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources("interp"), ids=relative)
def test_interp_is_pure(path: Path) -> None:
    assert not {name for name in imports_of(path) if top(name) in NOT_FOR_INTERP}


@pytest.mark.parametrize("path", sources("clients/striate"), ids=relative)
def test_client_imports_only_what_it_declares(path: Path) -> None:
    project = tomllib.loads((ROOT / "clients" / "pyproject.toml").read_text())["project"]
    declared = {name.split(">")[0] for name in project["dependencies"]}
    allowed = (
        {DISTRIBUTIONS.get(name, name) for name in declared} | {"striate"} | sys.stdlib_module_names
    )
    assert not {name for name in imports_of(path) if top(name) not in allowed}


@pytest.mark.parametrize("path", sources("service"), ids=relative)
def test_service_stays_below_the_stubs(path: Path) -> None:
    names = imports_of(path)
    part = module_name(path).removeprefix("service").lstrip(".").partition(".")[0]
    of_client = {name for name in names if top(name) == "striate"}
    stubs = {name for name in of_client if name.startswith("striate.v1.")}
    assert of_client == stubs, "of the client, the service uses the stubs alone"
    assert not stubs or part.partition("_")[0] in STUB_USERS, (
        f"only {sorted(STUB_USERS)} may touch the stubs"
    )
    assert not {name for name in names if top(name) in {"bench", "tools", "tests"}}


@pytest.mark.parametrize(
    "path",
    [*sources("interp"), *sources("service"), *sources("tools"), *sources("bench")],
    ids=relative,
)
def test_nothing_is_unpickled(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not {name for name in imports_of(path) if top(name) in PICKLERS}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if ast.unparse(call.func) == "torch.load":
            safe = [word.value for word in call.keywords if word.arg == "weights_only"]
            assert [ast.unparse(value) for value in safe] == ["True"], (
                f"line {call.lineno}: torch.load without weights_only=True"
            )


def test_there_is_something_to_walk() -> None:
    for folder in ("interp", "service", "clients/striate"):
        assert sources(folder), folder


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import grpc.aio", {"grpc.aio"}),
        ("def late():\n    import torch", {"torch"}),
        ("from striate import v1", {"striate.v1"}),
        ("from . import wire", {"service.wire"}),
        ("from .wire import decode", {"service.wire.decode"}),
        ("from ..interp import ball", {"interp.ball"}),
        ("import importlib\nimportlib.import_module('torch')", {"importlib", "torch"}),
        ("if TYPE_CHECKING:\n    from google import rpc", {"google.rpc"}),
    ],
)
def test_every_form_of_import_is_seen(source: str, found: set[str]) -> None:
    assert set(imports(source, "service.engine")) == found


def test_a_package_is_the_base_of_its_own_relative_imports() -> None:
    assert set(imports("from .engine import Engine", "service", is_package=True)) == {
        "service.engine.Engine"
    }
