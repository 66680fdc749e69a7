"""Who is known by what they show, and for how long."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.auth.authority import Authority, Known
from service.auth.errors import Unauthenticated
from service.auth.identity import Role
from service.auth.reread import FilesUnusable
from service.auth.tokens import digest, new_token


def entry(name: str, token: str, more: str = "") -> str:
    return f'[[tokens]]\nname = "{name}"\nrole = "compute"\nsha256 = "{digest(token)}"\n{more}\n'


def known(authority: Authority, token: str) -> Known:
    return asyncio.run(authority.by_token(f"Bearer {token}"))


def settle(path: Path) -> None:
    """Make a file look as if it had been written a while ago."""
    os.utime(path, (time.time() - 10, time.time() - 10))


def test_a_token_is_known_by_its_digest_and_others_are_not(tmp_path: Path) -> None:
    token, path = new_token(), tmp_path / "auth.toml"
    path.write_text(entry("ann", token, 'models = ["cifar10-*"]'))
    assert token not in path.read_text()
    authority = Authority(path)
    found = known(authority, token).identity
    assert (found.name, found.role) == ("ann", Role.COMPUTE)
    assert found.may_use_model("cifar10-plain")
    assert not found.may_use_model("digits-lenet5")
    for shown in (
        f"Bearer {token}x",
        f"Bearer {token[:-1]}",
        f"Basic {token}",
        "Bearer ",
        token,
        "",
        f"Bearer {digest(token)}",  # whoever reads the file cannot call
        "Bearer " + "x" * 10**6,
        "Bearer a.b.c",
    ):
        with pytest.raises(Unauthenticated) as error:
            asyncio.run(authority.by_token(shown))
        assert token not in str(error.value)
    authority.close()


def test_an_expired_token_is_told(tmp_path: Path) -> None:
    token, path = new_token(), tmp_path / "auth.toml"
    path.write_text(entry("ann", token, "expires = 2020-01-01"))
    authority = Authority(path)
    with pytest.raises(Unauthenticated, match="ann has expired"):
        known(authority, token)
    authority.close()


def test_a_token_that_expires_or_goes_in_the_midst_of_a_call(tmp_path: Path) -> None:
    token, other, path = new_token(), new_token(), tmp_path / "auth.toml"
    soon = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    path.write_text(entry("ann", token, f"expires = {soon}") + entry("bob", other))
    authority = Authority(path)
    ann, bob = known(authority, token), known(authority, other)
    authority.require(ann)
    time.sleep(1.6)
    with pytest.raises(Unauthenticated, match="expired"):
        authority.require(ann)
    authority.require(bob)
    path.write_text(entry("bob", other, 'datasets = ["digits"]'))
    with pytest.raises(Unauthenticated, match="changed"):
        authority.require(bob)
    path.write_text("")
    with pytest.raises(Unauthenticated, match="taken out"):
        known(authority, other)
    authority.close()


def test_a_broken_file_keeps_the_last_valid_and_stops_a_start(tmp_path: Path) -> None:
    token, path = new_token(), tmp_path / "auth.toml"
    path.write_text(entry("ann", token))
    authority = Authority(path)
    path.write_text("[[tokens]")
    assert known(authority, token).identity.name == "ann"
    authority.close()
    for text, told in (
        ("[[tokens]", "no TOML"),
        ("[[token]]\nname = 'x'", "token"),
        (entry("ann", token) + entry("bob", token), "two entries have the same"),
        (entry("a:b", token), "tokens.1.name"),
        (entry("ann", token).replace("compute", "root"), "must be read, compute or admin"),
        (entry("ann", token, "expires = 'soon'"), "must be a TOML date"),
        (entry("ann", token).replace(digest(token), token), "sha256"),
    ):
        path.write_text(text)
        with pytest.raises(FilesUnusable, match=told) as error:
            Authority(path)
        assert token not in str(error.value)


def test_a_file_that_every_user_can_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "auth.toml"
    path.write_text("")
    path.chmod(0o666)
    with pytest.raises(FilesUnusable, match="every user of this machine can write it"):
        Authority(path)


def test_certificates_by_their_subject(tmp_path: Path) -> None:
    path = tmp_path / "auth.toml"
    path.write_text('[[certificates]]\nname = "ci"\nrole = "read"\nsubject = "CN=ci,O=Lab"\n')
    authority = Authority(path)
    assert authority.by_certificate("CN=ci,O=Lab").identity.name == "ci"
    for subject in ("CN=ci", "CN=CI,O=Lab", ""):
        with pytest.raises(Unauthenticated, match="has no role here"):
            authority.by_certificate(subject)
    assert authority.names() == {"ci"}
    authority.close()
