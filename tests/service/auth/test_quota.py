"""Quotas in the auth file: of an entry, and of whoever has none of their own."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from service.auth import file
from service.auth.authority import Authority
from service.auth.quota import UNLIMITED, Quota
from service.auth.tokens import digest, new_token


def entry(name: str, token: str, more: str = "") -> str:
    return f'[[tokens]]\nname = "{name}"\nrole = "compute"\nsha256 = "{digest(token)}"\n{more}\n'


def quotas(text: str) -> dict[str, Quota]:
    found = file.parse(text, Path())
    return {one.name: one.identity.quota for one in found.tokens}


def test_an_entry_has_its_own_quota_and_the_rest_of_the_defaults() -> None:
    found = quotas(
        "[defaults]\nrequests_per_second = 5\noperations = 2\n"
        + entry("ann", "a")
        + entry("ben", "b", "weight = 3\noperations = 9")
    )
    assert found["ann"] == Quota(requests_per_second=5, operations=2)
    assert found["ben"] == Quota(weight=3, requests_per_second=5, operations=9)
    assert quotas(entry("ann", "a"))["ann"] == UNLIMITED


def test_defaults_are_for_certificates_and_providers_too() -> None:
    found = file.parse(
        "[defaults]\noperations = 4\n"
        '[[certificates]]\nname = "c"\nrole = "read"\nsubject = "CN=c"\n'
        '[[providers]]\nname = "p"\nissuer = "i"\naudience = "a"\njwks = "k.json"\nrole = "read"\n',
        Path(),
    )
    assert found.certificates[0].identity.quota.operations == 4
    assert file.quota_of(found.providers[0]).operations == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[defaults]\nweight = 0", "defaults.weight"),
        ("[defaults]\nrequests_per_second = nan", "defaults.requests_per_second"),
        ("[defaults]\noperations = -1", "defaults.operations"),
        ("[defaults]\nrequests = 1", "defaults.requests"),
        (entry("ann", "a", "rows_in_flight = 1.5"), "tokens.1.rows_in_flight"),
    ],
)
def test_what_is_no_quota_is_named(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}"):
        file.parse(text, Path())


def test_a_changed_quota_counts_at_once_and_ends_no_call(tmp_path: Path) -> None:
    token, path = new_token(), tmp_path / "auth.toml"
    path.write_text(entry("ann", token, "operations = 1"))
    authority = Authority(path)
    before = asyncio.run(authority.by_token(f"Bearer {token}"))
    path.write_text(entry("ann", token, "operations = 2"))
    os.utime(path, (time.time() - 10, time.time() - 10))
    deadline = time.monotonic() + 30
    while asyncio.run(authority.by_token(f"Bearer {token}")).identity.quota.operations != 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    authority.require(before)
    authority.close()
