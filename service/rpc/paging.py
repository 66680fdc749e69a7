"""Listings a page at a time, by the name that the page before ended with."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from service.rpc.validation import InvalidField, within

M = TypeVar("M", bound=Message)

DEFAULT_PAGE, LARGEST_PAGE = 100, 1000
MOST_BYTES = 8 * 2**20  # of a page's messages, after which it ends
_TOKEN = re.compile(r"[\w.:/@-]{1,300}")


def page(
    names: Sequence[str],
    size: int,
    token: str,
    describe: Callable[[str], M],
    sorted_from: int = 0,
) -> tuple[list[M], str]:
    """Describe the names of one page.

    Args:
        names: of all that is listed, in order.
        size: the request's `page_size`.
        token: the request's `page_token`.
        describe: makes the message of a name.
        sorted_from: the first of the names from which on they are sorted, so that a page is found
            whose name before it is gone.

    Returns:
        The messages, and the `next_page_token`.

    Raises:
        InvalidField: the size or the token cannot be.
    """
    size = within("page_size", size, 1, LARGEST_PAGE, default=DEFAULT_PAGE)
    first = _first(names, token, sorted_from)
    found, taken = list[M](), 0
    for name in names[first : first + size]:
        message = describe(name)
        taken += message.ByteSize()
        if found and taken > MOST_BYTES:
            break
        found.append(message)
    last = first + len(found)
    return found, names[last - 1] if found and last < len(names) else ""


def _first(names: Sequence[str], token: str, sorted_from: int) -> int:
    """The place of the first name behind a token."""
    if not token:
        return 0
    if not _TOKEN.fullmatch(token):
        raise InvalidField("page_token", "must be empty or the next_page_token of an earlier page")
    if token in names:
        return names.index(token) + 1
    return bisect_right(names, token, lo=sorted_from)
