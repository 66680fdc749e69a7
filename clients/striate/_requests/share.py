"""With whom something is shared, as a list of words."""

from __future__ import annotations

from collections.abc import Iterable

from striate.errors import invalid

_MOST = 64


def share_words(share: str | Iterable[str]) -> list[str]:
    """Takes a name or role, or several.

    Args:
        share: Callers' names, or "read", "compute" or "admin" for all who have that role or more.

    Returns:
        The words.

    Raises:
        InvalidArgument: They are no texts, or too many.
    """
    if not isinstance(share, str | Iterable):
        raise invalid("share", f"must be a name or a role, or several, is {share!r}")
    words = [share] if isinstance(share, str) else list(share)
    if not all(isinstance(word, str) and word for word in words):
        raise invalid("share", f"must be names or roles, is {words!r}")
    if len(words) > _MOST:
        raise invalid("share", f"must hold at most {_MOST} names and roles, has {len(words)}")
    return words
