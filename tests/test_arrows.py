"""Who may import whom: walks every import of every module, those inside functions and the dynamic
ones included. The tables read like the layout in docs/architecture.md.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "interp": ROOT / "interp",
    "service": ROOT / "service",
    "striate": ROOT / "clients" / "striate",
    "striate_web": ROOT / "clients" / "web" / "striate_web",
    "bench": ROOT / "bench",
    "tools": ROOT / "tools",
}
PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
DISTRIBUTIONS = {
    "googleapis-common-protos": "google",
    "grpcio": "grpc",
    "python-multipart": "python_multipart",
    "pillow": "PIL",
    "protobuf": "google",
}

# Each room (a package, or a module beside the packages) and the rooms that it may import. "core"
# is all that stands in `interp` itself: what asks, what answers and what climbs.
INTERP: Mapping[str, str] = {
    "core": "",
    "network": "core",
    "feature": "core network",
    "attack": "core network",
    "corruption": "core",
    "filters": "core network",
    "exemplars": "core network",
    "attribution": "core network",
    "audit": "core attack corruption",
}
SERVICE: Mapping[str, str] = {
    "files": "",
    "threads": "",
    "process": "",
    "auth": "process",
    "state": "files",
    "imaging": "",
    "config": "",
    "engine": "config process",
    "datasets": "imaging files state auth",
    "models": "config datasets imaging process files threads auth",
    "operations": "state auth process",
    "index": "engine datasets files state auth",
    "report": "imaging",
    "audit": "report engine models datasets imaging files state",
    "visualization": "index engine models datasets imaging files state",
    "rpc": "visualization index audit report operations engine models datasets imaging state"
    " auth process threads",
    "watch": "operations engine models imaging state process",
    "server": "rpc watch state index operations engine models datasets imaging auth config process"
    " threads",
    "__main__": "server models config auth state datasets index visualization process",
    "local": "__main__ server models config",
}
# The handles (service, model) stand on `_api`, whose functions make requests of values and results
# of answers; the command line stands on the handles.
CLIENT: Mapping[str, str] = {
    "v1": "",
    "errors": "",
    "provenance": "errors v1",
    "_rpc": "errors provenance v1",
    "attacks": "_rpc errors",
    "_formats": "attacks errors v1",
    "results": "_formats _rpc attacks errors provenance v1",
    "images": "results _formats _rpc errors v1",
    "objective": "_formats images _rpc errors",
    "regularize": "_rpc errors",
    "space": "_rpc errors",
    "view": "_rpc errors",
    "_requests": "objective images results regularize space view attacks _rpc errors v1",
    "_api": "_requests objective images results attacks _rpc errors v1",
    "model": "_api _requests objective images results attacks",
    "service": "model _api _requests images results attacks _rpc errors",
    "aio": "service model _api _requests objective results _rpc errors provenance",
    "hosting": "service model _rpc errors",
    "_cli": "service model _api _requests _formats objective results regularize space view attacks"
    " _rpc errors",
}

# The microscope: pages stand on what they share, and all of it on the client alone.
WEB: Mapping[str, str] = {
    "names": "",
    "settings": "",
    "sessions": "",
    "memory": "",
    "errors": "",
    "doors": "",
    "rendering": "names",
    "events": "errors",
    "visit": "rendering memory sessions settings",
    "views": "visit rendering memory names",
    "pages": "views visit events rendering errors names",
    "app": "pages visit doors errors settings",
    "serving": "app settings",
    "command": "serving settings",
}


def modules(folder: Path) -> list[Path]:
    """The modules below a folder of the project, generated stubs left out."""
    return sorted(path for path in folder.rglob("*.py") if "_pb2" not in path.name)


def module_name(path: Path) -> str:
    """The dotted name of a module file: "service.rpc"; a package goes by its folder's name."""
    bases = (ROOT / "clients" / "web", ROOT / "clients", ROOT)
    base = next(base for base in bases if path.is_relative_to(base))
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imports(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """Absolute dotted names of all that a source imports: "a.b" for `import a.b` and for
    `from a import b`.
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


@cache
def imports_of(path: Path) -> frozenset[str]:
    """What the module in a file imports."""
    name = module_name(path)
    return frozenset(imports(path.read_text(), name, path.name == "__init__.py"))


def top(name: str) -> str:
    """The first part of a dotted name."""
    return name.partition(".")[0]


def room_of(name: str, root: str, rooms: Mapping[str, str]) -> str | None:
    """The room of a table that a dotted name belongs to; None for names of other packages and for
    the package's own `__init__`.
    """
    first, _, rest = name.partition(".")
    if first != root or not rest:
        return None
    inside = top(rest)
    return inside if inside in rooms else "core" if "core" in rooms else inside


def offenders(root: str, rooms: Mapping[str, str]) -> list[str]:
    """Every import that a table does not allow, as "module -> module"."""
    found = []
    for path in modules(FOLDERS[root]):
        here = room_of(module_name(path), root, rooms)
        if here is None:
            continue
        allowed = {here, *rooms.get(here, "").split()}
        for name in sorted(imports_of(path)):
            there = room_of(name, root, rooms)
            if there is not None and there not in allowed:
                found.append(f"{module_name(path)} -> {name}")
    return found


def importers(root: str, forbidden: set[str]) -> list[str]:
    """Every import of a package below `root` whose first name is forbidden."""
    return [
        f"{module_name(path)} -> {name}"
        for path in modules(FOLDERS[root])
        for name in sorted(imports_of(path))
        if top(name) in forbidden
    ]


@pytest.mark.parametrize(
    ("root", "rooms"),
    [("interp", INTERP), ("service", SERVICE), ("striate", CLIENT), ("striate_web", WEB)],
)
def test_rooms_import_along_the_arrows_alone(root: str, rooms: Mapping[str, str]) -> None:
    assert not offenders(root, rooms)
    tuple(TopologicalSorter({room: to.split() for room, to in rooms.items()}).static_order())
    known = {room_of(module_name(path), root, rooms) for path in modules(FOLDERS[root])} - {None}
    assert known == set(rooms), "every room of the tree stands in the table, and no other"


def test_interp_knows_nothing_of_the_service() -> None:
    forbidden = {"grpc", "google", "striate", "service", "threading", "asyncio"}
    assert not importers("interp", forbidden | {"bench", "tools", "tests"})


@pytest.mark.parametrize(
    ("root", "folder"), [("striate", "clients"), ("striate_web", "clients/web")]
)
def test_a_client_imports_only_what_it_declares(root: str, folder: str) -> None:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    declared = {name.split(">")[0] for name in project["dependencies"]}
    allowed = {DISTRIBUTIONS.get(name, name) for name in declared} | {"striate", root}
    allowed |= sys.stdlib_module_names
    foreign = [
        f"{module_name(path)} -> {top(name)}"
        for path in modules(FOLDERS[root])
        for name in sorted(imports_of(path))
        if top(name) not in allowed
    ]
    # of an extra, and only where the program has imported it already
    assert set(foreign) <= {"striate._rpc.client_span -> opentelemetry"}


def test_the_microscope_uses_what_any_user_may_and_no_stubs() -> None:
    used = {name for path in modules(FOLDERS["striate_web"]) for name in imports_of(path)}
    assert not [name for name in used if name.startswith(("striate._", "striate.v1", "grpc"))]
    client = {name for path in modules(FOLDERS["striate"]) for name in imports_of(path)}
    assert "striate_web" not in map(top, client)


def test_of_the_client_the_service_uses_the_stubs_alone_and_only_at_its_edge() -> None:
    found = []
    for path in modules(FOLDERS["service"]):
        room = room_of(module_name(path), "service", SERVICE)
        for name in sorted(imports_of(path)):
            stub = f"{name}.".startswith("striate.v1.")
            allowed = stub and room in {"rpc", "server", "process"}
            forbidden = top(name) == "striate" and not allowed
            if forbidden or (top(name) == "grpc" and room not in {"rpc", "server", "operations"}):
                found.append(f"{module_name(path)} -> {name}")
    assert not found
    assert not importers("service", {"bench", "tools", "tests"})


SANDBOXED = "service.models.importer.sandboxed"  # programs in a process without network


def test_nothing_is_unpickled() -> None:
    unsafe = [
        found
        for root in ("interp", "service", "tools", "bench")
        for found in importers(root, PICKLERS)
        if not found.startswith(f"{SANDBOXED}.")
    ]
    for path in (
        p
        for root in ("interp", "service", "tools", "bench")
        for p in modules(FOLDERS[root])
        if p.parent.name != "sandboxed"
    ):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "torch.load":
                safe = [ast.unparse(k.value) for k in call.keywords if k.arg == "weights_only"]
                if safe != ["True"]:
                    unsafe.append(f"{path}:{call.lineno} torch.load without weights_only=True")
    assert not unsafe
    every = (path for folder in FOLDERS.values() for path in modules(folder))
    assert not [path for path in every if any(n.startswith(SANDBOXED) for n in imports_of(path))]


def test_no_folder_is_crowded() -> None:
    """About 12 entries a folder is the aim, 20 the most."""
    crowded = {}
    for root in ("interp", "service", "striate", "striate_web"):
        for folder in (FOLDERS[root], *(p for p in FOLDERS[root].rglob("*") if p.is_dir())):
            if folder.name in {"__pycache__", "v1"}:
                continue
            entries = [p for p in folder.iterdir() if p.name not in {"__pycache__", "__init__.py"}]
            if len(entries) > 20:
                crowded[str(folder.relative_to(ROOT))] = len(entries)
    assert not crowded


def test_no_two_modules_share_a_class_name() -> None:
    """One name, one idea, on each side: the client has its own values of what the service has."""
    shared: dict[str, list[str]] = {}
    for side in (("interp", "service"), ("striate",), ("striate_web",)):
        places: dict[str, list[str]] = {}
        for path in (p for root in side for p in modules(FOLDERS[root])):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(module_name(path))
        shared |= {name: where for name, where in places.items() if len(where) > 1}
    assert not shared


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
    found = set(imports("from .engine import Engine", "service", is_package=True))
    assert found == {"service.engine.Engine"}


def test_an_import_against_the_arrows_is_named() -> None:
    rooms = {"core": "", "attack": "core", "feature": "core"}
    assert room_of("interp.attack.pgd", "interp", rooms) == "attack"
    assert room_of("interp.probe.Probe", "interp", rooms) == "core"
    assert room_of("interp", "interp", rooms) is None
    assert room_of("torch.nn", "interp", rooms) is None
    backwards = {**INTERP, "audit": "core"}
    assert any(
        "interp.audit.shard -> interp.attack" in line for line in offenders("interp", backwards)
    )
