"""Server and client installed into new environments: together, one without the other, and never by
a name that a package index would be asked for.
"""

import json
import re
import shutil
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.process import packages
from tests.conftest import ROOT
from tests.toys_wheels import UV, build, output, requirements, run

OURS = {"striate", "striate-server", "striate-client", "interp", "service"}
ORIGINS = """
import json, service, striate
from importlib.metadata import entry_points
(host,) = {entry.value for entry in entry_points(group="striate.host")}
print(json.dumps([service.__file__, striate.__file__, host]))
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of both wheels."""
    projects = {"server": ROOT, "client": ROOT / "clients"}
    return {
        name: str(build(project, tmp_path_factory.mktemp(name)).filename)
        for name, project in projects.items()
    }


def environment(folder: Path, *wheels: str) -> Path:
    """Makes a new environment that holds wheels, and borrows what they require from that of the
    tests, where only installed packages are seen and not those in editable folders.

    Args:
        folder: of the environment.
        wheels: files to install.

    Returns:
        Its `bin` folder.
    """
    output(UV, "venv", "--no-project", "--python", sys.executable, folder)
    output(UV, "pip", "install", "--offline", "--no-deps", "--python", folder, *wheels)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def test_both_installed_together_run(wheels: dict[str, str], tmp_path: Path) -> None:
    home = environment(tmp_path / "venv", wheels["client"], wheels["server"])
    server, client, host = json.loads(output(home / "python", "-I", "-c", ORIGINS))
    assert Path(server).is_relative_to(home.parent)
    assert Path(client).is_relative_to(home.parent)
    assert host == "service.local:host"
    assert "--weights-dir" in output(home / "striate-server", "--help")
    assert "attack" in output(home / "striate", "--help")
    refused = run(home / "striate-server", "--port", "0", "--model", "no-such-network")
    assert refused.returncode == 1, "it came past its settings and the client, to the networks"
    assert "no-such-network" in refused.stderr


def test_the_server_without_the_client_ends_with_one_sentence(
    wheels: dict[str, str], tmp_path: Path
) -> None:
    home = environment(tmp_path / "venv", wheels["server"])
    ended = run(home / "striate-server", "--port", "0")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "striate-server: the client, whose messages the server speaks, is not installed beside it; "
        "install both in a checkout of Striate: pip install ./clients .\n"
    )


def test_the_client_of_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"striate-server": "0.2.0", "striate-client": "0.1.0"}
    monkeypatch.setattr(packages, "version", versions.__getitem__)
    told = packages.complaint()
    assert told is not None
    assert "striate-server 0.2.0 needs striate-client 0.2.0 beside it, and finds 0.1.0" in told
    versions["striate-client"] = "0.2.0"
    assert packages.complaint() is None


def declared(file: Path) -> Iterator[str]:
    """Every requirement that a pyproject.toml states, whichever the table."""
    project: dict[str, Any] = tomllib.loads(file.read_text())
    yield from project["build-system"]["requires"]
    yield from project["project"]["dependencies"]
    for extra in project["project"].get("optional-dependencies", {}).values():
        yield from extra
    for group in project.get("dependency-groups", {}).values():
        yield from group


def test_no_requirement_names_a_distribution_of_ours(wheels: dict[str, str]) -> None:
    """An index would be asked for it, and anyone can register a free name there."""
    named = {name for wheel in wheels.values() for name in requirements(zipfile.ZipFile(wheel))}
    for file in (ROOT / "pyproject.toml", ROOT / "clients" / "pyproject.toml"):
        named |= {re.split(r"[^A-Za-z0-9._-]", line)[0] for line in declared(file)}
    for file in (ROOT / "requirements").iterdir():
        named |= set(re.findall(r"^[A-Za-z0-9._-]+", file.read_text(), re.MULTILINE))
    assert "torch" in named
    assert not named & OURS


def test_no_extra_adds_to_the_default_installation() -> None:
    """What the extras alone require is pinned for their own tests only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.split(r"[^A-Za-z0-9._-]", requirement)[0]
        for extra in project["optional-dependencies"].values()
        for requirement in extra
    }
    pinned = {
        file: set(re.findall(r"^[a-z0-9._-]+", (ROOT / "requirements" / file).read_text(), re.M))
        for file in ("dev.txt", "server.txt", "extras.txt")
    }
    assert {"timm", "onnx2pytorch", "huggingface-hub"} <= wanted <= pinned["extras.txt"]
    assert not wanted & (pinned["dev.txt"] | pinned["server.txt"])


def test_no_page_and_no_message_installs_ours_by_name() -> None:
    """Until a release is out, `pip install striate-...` would fetch whatever stands there."""
    texts = (
        path
        for pattern in ("*.md", "*.py", "*.yml", "*.sh", "*ockerfile", "Makefile")
        for folder in ("docs", "clients", "service", "tools", "docker", ".ci", ".github")
        for path in (ROOT / folder).rglob(pattern)
    )
    by_name = re.compile(r"(?:pip3?|pipx|uv|uvx)\s+(?:tool\s+)?(?:install|add|run)\b[^\n`]*")
    found = [
        f"{path.relative_to(ROOT)}: {command}"
        for path in (*texts, ROOT / "README.md", ROOT / "Makefile")
        for command in by_name.findall(path.read_text())
        if re.search(r"\sstriate(-server|-client)?(\[|\s|$|==)", command.replace("'", " "))
    ]
    assert not found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a release is made of."""
    tree = tmp_path / "tree"
    for folder in ("clients", "interp", "service", "tools"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / file, tree / file)
    (tree / "protos").mkdir()
    (tree / ".uv").symlink_to(ROOT / ".uv")
    return tree


def test_a_release_is_built_only_from_a_tree_that_is_ready(tree: Path) -> None:
    script, out = tree / "tools" / "release.sh", tree / "dist"
    version = tomllib.loads((tree / "pyproject.toml").read_text())["project"]["version"]
    tag = f"v{version}"

    def refusal(tag: str) -> str:
        ended = run(script, tag, out)
        assert ended.returncode == 1
        assert not out.exists() or {file.name for file in out.iterdir()} == {"stray.whl"}
        return ended.stderr

    assert f"the tag is v98.7.6, and pyproject.toml has version {version}" in refusal("v98.7.6")
    assert f"## [{version}] - YYYY-MM-DD" in refusal(tag)
    with (tree / "CHANGELOG.md").open("a") as changes:
        changes.write(f"\n## [{version}] - 2030-01-02\n")
    assert f"tools/protos.sh clients protos/striate-{tag}.binpb" in refusal(tag)
    (tree / "protos" / f"striate-{tag}.binpb").touch()
    out.mkdir()
    (out / "stray.whl").touch()
    assert "is not empty" in refusal(tag)
    (out / "stray.whl").unlink()
    listed = output(script, tag, out).split()
    assert listed == [f"striate_{side}-{version}-py3-none-any.whl" for side in ("client", "server")]
    assert sorted(file.name for file in out.iterdir()) == listed
