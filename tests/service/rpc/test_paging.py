"""Listings a page at a time."""

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from service.rpc.paging import LARGEST_PAGE, MOST_BYTES, page
from service.rpc.validation import InvalidField


def describe(name: str) -> StringValue:
    return StringValue(value=name)


def walked(names: list[str], size: int, sorted_from: int = 0) -> list[list[str]]:
    """The pages, as a client walks through them."""
    pages, token = list[list[str]](), ""
    while True:
        found, token = page(names, size, token, describe, sorted_from)
        pages.append([message.value for message in found])
        if not token:
            return pages


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, LARGEST_PAGE])
def test_pages_join_to_the_whole(size: int) -> None:
    names = ["z", "b", *(f"upload-{n}" for n in range(5))]
    pages = walked(names, size)
    assert [name for one in pages for name in one] == names
    assert all(len(one) == size for one in pages[:-1])
    assert pages[-1]


def test_a_page_follows_one_whose_last_name_is_gone() -> None:
    names = ["z", "upload-1", "upload-2", "upload-4"]
    for gone, rest in (("upload-3", ["upload-4"]), ("upload-0", names[1:]), ("upload-9", [])):
        found, _ = page(names, 10, gone, describe, sorted_from=1)
        assert [message.value for message in found] == rest


def test_a_page_ends_before_it_is_too_large() -> None:
    def long(name: str) -> StringValue:
        return StringValue(value=name * (MOST_BYTES // 3))

    found, token = page(list("abcde"), 5, "", long)
    assert ([message.value[0] for message in found], token) == (["a", "b"], "b")

    def longer(name: str) -> StringValue:
        return StringValue(value=name * (2 * MOST_BYTES))

    found, token = page(list("ab"), 5, "", longer)  # one comes in any case
    assert (len(found), token) == (1, "a")


def test_nothing_has_one_empty_page() -> None:
    assert walked([], 5) == [[]]


@pytest.mark.parametrize(
    ("size", "token", "field"),
    [(LARGEST_PAGE + 1, "", "page_size"), (5, "a\nb", "page_token"), (5, "x" * 301, "page_token")],
)
def test_what_cannot_be_is_refused(size: int, token: str, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        page(["a"], size, token, describe)
    assert caught.value.field == field
