"""The two distributions: what their wheels hold, and the client's alone in an empty environment."""

import json
import re
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.toys_server import Server
from tests.toys_wheels import UV, build, metadata, output, requirements, run

CLIENT_REQUIRES = {
    "grpcio",
    "protobuf",
    "googleapis-common-protos",
    "numpy",
    "pillow",
    "typer",
    "rich",
}
EMBEDDED = {"digits-lenet5", "cifar10-plain", "cifar10-robust"}
NO_NETWORK = re.compile(
    r"error sending request|failed to fetch|dns error|network|offline|timed out|could not connect",
    re.IGNORECASE,
)

IMPORT_ALL = """
import importlib, json, pkgutil, sys
import striate
for module in pkgutil.walk_packages(striate.__path__, "striate."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
heavy = {"torch", "torchvision", "captum", "lucent", "scipy", "interp", "service"}
print(json.dumps({"file": striate.__file__, "heavy": sorted(heavy & sys.modules.keys())}))
"""
TALK = """
import json, sys
import numpy, striate
with striate.connect(sys.argv[1]) as service:
    net = service.model("digits-lenet5")
    (predictions,) = net.classify(numpy.zeros((1, 1, 32, 32), numpy.float32), k=10)
    print(json.dumps({
        "models": [model.name for model in service.models()],
        "indices": [prediction.index for prediction in predictions],
        "total": sum(prediction.probability for prediction in predictions),
    }))
"""


def tree(folder: str, base: Path = ROOT) -> set[str]:
    """The files below a folder as a wheel names them, caches left out."""
    found = (
        path
        for path in (base / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    return {path.relative_to(base).as_posix() for path in found}


@pytest.fixture(scope="module")
def server_wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return build(ROOT, tmp_path_factory.mktemp("server-wheel"))


@pytest.fixture(scope="module")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return build(ROOT / "clients", tmp_path_factory.mktemp("client-wheel"))


@pytest.fixture(scope="module")
def client_bin(client_wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the client's wheel and what it requires, and
    nothing else.
    """
    folder = tmp_path_factory.mktemp("client") / "venv"
    output(UV, "venv", "--no-project", "--python", sys.executable, folder)
    pins = ROOT / "requirements" / "dev.txt"
    result = run(
        UV, "pip", "install", "--python", folder, "--constraint", pins, str(client_wheel.filename)
    )
    if result.returncode and NO_NETWORK.search(result.stderr):
        pytest.skip("the client's requirements are neither cached nor to be had: no network")
    assert result.returncode == 0, result.stderr
    return folder / "bin"


def test_server_wheel_holds_the_library_the_service_and_the_weights(
    server_wheel: zipfile.ZipFile,
) -> None:
    packed = {
        name
        for name in server_wheel.namelist()
        if ".dist-info/" not in name and not name.endswith("/")
    }
    assert packed == tree("interp") | tree("service")
    assert {f"service/models/weights/{name}.safetensors" for name in EMBEDDED} <= packed


def test_server_wheel_offers_the_command(server_wheel: zipfile.ZipFile) -> None:
    assert {"torch", "torchvision"} <= requirements(server_wheel)
    (scripts,) = [
        server_wheel.read(name).decode()
        for name in server_wheel.namelist()
        if name.endswith("entry_points.txt")
    ]
    assert "striate-server = service.__main__:main" in scripts


def test_client_wheel_holds_the_stubs_and_its_types(client_wheel: zipfile.ZipFile) -> None:
    packed = {
        name
        for name in client_wheel.namelist()
        if ".dist-info/" not in name and not name.endswith("/")
    }
    assert packed == tree("striate", ROOT / "clients")
    assert "striate/py.typed" in packed
    for proto in (ROOT / "protos" / "striate" / "v1").glob("*.proto"):
        assert {
            f"striate/v1/{proto.stem}_pb2.py",
            f"striate/v1/{proto.stem}_pb2.pyi",
            f"striate/v1/{proto.stem}_pb2_grpc.py",
        } <= packed


def test_web_wheel_holds_its_pages_and_asks_for_no_distribution_of_ours(tmp_path: Path) -> None:
    wheel = build(ROOT / "clients" / "web", tmp_path)
    packed = {
        name for name in wheel.namelist() if ".dist-info/" not in name and not name.endswith("/")
    }
    assert packed == tree("striate_web", ROOT / "clients" / "web")
    assert not [name for name in requirements(wheel) if name.startswith("striate")]
    (points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "web = striate_web.command:web" in wheel.read(points).decode()
    assert any(name.endswith("htmx.LICENSE") for name in wheel.namelist())


def test_client_wheel_requires_little(client_wheel: zipfile.ZipFile) -> None:
    assert requirements(client_wheel) == CLIENT_REQUIRES


def test_both_wheels_bear_the_same_version_and_the_license(
    server_wheel: zipfile.ZipFile, client_wheel: zipfile.ZipFile
) -> None:
    assert metadata(server_wheel)["Version"] == metadata(client_wheel)["Version"]
    for wheel in (server_wheel, client_wheel):
        assert metadata(wheel)["License-Expression"] == "Apache-2.0"
        assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())


def test_client_environment_holds_no_torch(client_bin: Path) -> None:
    listed = json.loads(
        output(UV, "pip", "list", "--python", client_bin / "python", "--format", "json")
    )
    names = {package["name"] for package in listed}
    assert CLIENT_REQUIRES | {"striate-client"} <= names
    assert not {
        name for name in names if name.startswith(("torch", "nvidia", "striate-server", "captum"))
    }
    refused = run(client_bin / "python", "-I", "-c", "import torch")
    assert refused.returncode != 0
    assert "No module named 'torch'" in refused.stderr


def test_client_imports_whole_in_its_own_environment(client_bin: Path) -> None:
    seen = json.loads(output(client_bin / "python", "-I", "-c", IMPORT_ALL))
    assert seen["heavy"] == []
    assert Path(seen["file"]).is_relative_to(client_bin.parent), (
        "the installed client was imported, not the checkout"
    )


def test_client_alone_talks_to_the_server(client_bin: Path, server: Server) -> None:
    answer = json.loads(output(client_bin / "python", "-I", "-c", TALK, server.target))
    assert set(answer["models"]) >= EMBEDDED
    assert sorted(answer["indices"]) == list(range(10))
    assert answer["total"] == pytest.approx(1, abs=1e-4)


def test_command_of_the_client_alone_talks_to_the_server(client_bin: Path, server: Server) -> None:
    listed = output(client_bin / "striate", "models", "--server", server.target, "--json")
    assert all(name in listed for name in EMBEDDED)
    json.loads(listed)


@pytest.mark.parametrize("name", ["dev", "server", "web", "protos", "uv", "bench"])
def test_requirements_are_pinned_and_hashed_and_name_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    pins = [block for block in re.split(r"\n(?=\S)", text) if not block.startswith(("#", " "))]
    assert pins
    for pin in pins:
        assert re.match(r"[a-z0-9.-]+==\S+ ", pin), pin.splitlines()[0]
        assert "--hash=sha256:" in pin, pin.splitlines()[0]
    assert "://" not in text


@pytest.mark.parametrize(("name", "groups"), [("server", []), ("dev", ["test"])])
def test_requirements_pin_all_that_is_declared(name: str, groups: list[str]) -> None:
    """Also what the client declares, which is installed beside the server without dependencies."""
    folders = ("", "clients", "clients/web") if name == "dev" else ("", "clients")
    server, *others = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text()) for folder in folders
    )
    lines = [
        *server["project"]["dependencies"],
        *(line for other in others for line in other["project"]["dependencies"]),
        *(line for group in groups for line in server["dependency-groups"][group]),
    ]
    names = {re.split(r"[^A-Za-z0-9._-]", line)[0] for line in lines}
    pinned = set(
        re.findall(
            r"^([a-z0-9._-]+)==", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE
        )
    )
    assert names <= pinned
