"""What a filter of a listing may say."""

import pytest

from service.operations.errors import InvalidListing
from service.operations.servicer import _filter


@pytest.mark.parametrize(
    ("text", "kind", "done"),
    [
        ("", None, None),
        ("  \t ", None, None),
        ("done=true", None, True),
        (" done  =\tfalse ", None, False),
        ('kind="audit"', "audit", None),
        ("kind = build-index.v1", "build-index.v1", None),
        ("done=true  AND\nkind=audit", "audit", True),
        ("done=true AND done=false", None, False),  # the last one counts
        ("kind=AND-gate", "AND-gate", None),
    ],
)
def test_what_is_understood(text: str, kind: str | None, done: bool | None) -> None:
    assert _filter(text) == (kind, done)


@pytest.mark.parametrize(
    "text",
    ["done", "done=maybe", "kind=", "kind=a b", "AND", "done=true AND", "done=true OR kind=a"],
)
def test_what_is_not_understood_is_shown(text: str) -> None:
    with pytest.raises(InvalidListing, match="is not understood: use done=true"):
        _filter(text)


def test_a_long_term_is_shown_in_part() -> None:
    with pytest.raises(InvalidListing) as caught:
        _filter("a" + " " * 60_000 + "b" * 60_000)
    assert len(str(caught.value)) < 300
