"""What belongs to somebody is theirs, an admin's, and theirs with whom it is shared."""

import itertools

import pytest

from service.auth import rights
from service.auth.identity import EVERYONE, NOBODY, Identity, Role
from service.auth.ownership import Ownership, words_for

ANN, BOB = Identity("ann", Role.COMPUTE), Identity("bob", Role.READ)
ADMIN = Identity("eve", Role.ADMIN)
SOME_ADMIN = Identity("sam", Role.ADMIN, models=("a*",))


def test_what_is_not_shared() -> None:
    mine = Ownership("ann")
    for caller, theirs in (
        (ANN, True),
        (BOB, False),
        (ADMIN, True),
        (SOME_ADMIN, False),
        (EVERYONE, True),
        (NOBODY, False),
    ):
        assert mine.may_read(caller) == mine.may_change(caller) == theirs, caller


def test_what_is_nobodys_in_particular_is_an_admins() -> None:
    for caller, theirs in ((ANN, False), (ADMIN, True), (EVERYONE, True), (NOBODY, False)):
        assert Ownership("").may_read(caller) == theirs, caller


@pytest.mark.parametrize(
    ("shared", "readers"),
    [
        ("bob", {"ann", "bob", "eve"}),
        ("read", {"ann", "bob", "carl", "eve", "sam"}),
        ("compute", {"ann", "carl", "eve", "sam"}),
        ("admin", {"ann", "eve", "sam"}),
        ("nobody", {"ann", "eve"}),
    ],
)
def test_sharing_lets_others_read_alone(shared: str, readers: set[str]) -> None:
    callers = (ANN, BOB, ADMIN, SOME_ADMIN, Identity("carl", Role.COMPUTE), NOBODY)
    found = Ownership("ann", (shared, "somebody"))
    assert {caller.name for caller in callers if found.may_read(caller)} == readers
    assert {caller.name for caller in callers if found.may_change(caller)} == {"ann", "eve"}


def test_a_name_that_is_a_roles_word_means_the_role() -> None:
    assert words_for(Identity("admin", Role.READ)) == ("read",)


def test_rights_are_written_down_and_read_again() -> None:
    names: list[tuple[str, ...]] = [("*",), (), ("a*", 'b"]')]
    for role, models, datasets in itertools.product((None, *Role), names, names):
        found = Identity("ann", role, models, datasets)
        assert rights.read("ann", rights.written(found)) == found
    assert rights.read("", "") == EVERYONE
    for wrong in ("[", "[]", '["KING", [], []]', '["READ", 1, []]', '{"a": 1}'):
        with pytest.raises(ValueError, match="what its owner may do"):
            rights.read("ann", wrong)
