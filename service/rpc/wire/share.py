"""Names and roles with whom something is shared."""

from collections.abc import Sequence

from service.rpc.validation import InvalidField, required

MOST_SHARED = 64


def read_share(words: Sequence[str]) -> tuple[str, ...]:
    """Read with whom something is shared.

    Args:
        words: of a request's field `share`.

    Returns:
        Each word once, in order.

    Raises:
        InvalidField: there are too many, or one is empty, too long, or cannot be a name.
    """
    if len(words) > MOST_SHARED:
        raise InvalidField("share", f"has {len(words)} entries, must have at most {MOST_SHARED}")
    for place, word in enumerate(words):
        if not required(f"share[{place}]", word).isprintable():
            raise InvalidField(f"share[{place}]", f"is {word!r}, which is no name and no role")
    return tuple(dict.fromkeys(words))
