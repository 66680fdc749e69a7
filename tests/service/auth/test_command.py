"""`striate-server token`."""

import asyncio
import threading
from pathlib import Path

import pytest

from service.auth import file
from service.auth.authority import Authority
from service.auth.command import main
from service.auth.identity import Role


def make(path: Path, *words: str) -> int:
    return main([*words, "--auth", str(path)], None)


def test_a_token_is_printed_once_and_kept_as_a_digest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "auth.toml"
    words = ("ann", "--role", "compute", "--models", "cifar10-*", "--expires", "2999-01-31")
    assert make(path, *words) == 0
    token = capsys.readouterr().out.strip()
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    authority = Authority(path)
    found = asyncio.run(authority.by_token(f"bearer {token}")).identity
    assert (found.name, found.role, found.models) == ("ann", Role.COMPUTE, ("cifar10-*",))
    authority.close()


def test_what_is_there_stays_word_for_word(tmp_path: Path) -> None:
    path = tmp_path / "auth.toml"
    path.write_text("# who may do what\n")
    path.chmod(0o640)
    assert make(path, "ann", "--role", "read") == 0
    assert make(path, "bob", "--role", "admin") == 0
    assert path.read_text().startswith("# who may do what\n")
    assert [one.name for one in file.read(path).tokens] == ["ann", "bob"]
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["auth.toml"]


def test_two_at_once_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "auth.toml"
    callers = [
        threading.Thread(target=make, args=(path, f"caller{number}", "--role", "read"))
        for number in range(16)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert {one.name for one in file.read(path).tokens} == {f"caller{n}" for n in range(16)}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("a:b", "--role", "read"), "tokens.1.name"),
        (('x"\nrole = "admin', "--role", "read"), "tokens.1.name"),
        (("ann", "--role", "read", "--expires", "2020-01-01"), "is past"),
        (("ann", "--role", "read", "--models", ""), "models"),
    ],
)
def test_what_the_file_would_not_take_is_not_written(
    words: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "auth.toml"
    assert make(path, *words) == 1
    assert told in capsys.readouterr().err
    assert not path.exists()


def test_a_broken_file_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "auth.toml"
    path.write_text("[[tokens]")
    assert make(path, "ann", "--role", "read") == 1
    assert "is no TOML" in capsys.readouterr().err
    assert path.read_text() == "[[tokens]"
