"""So many calls are in flight, and no more; a probe of the server's health is always let in."""

import pytest

from service.rpc.doors.admission import Admission, TooManyCalls


def test_a_call_is_let_in_when_another_has_left() -> None:
    admission = Admission(2)
    with admission.enter("/a/B"):
        with admission.enter("/a/B"):
            with pytest.raises(TooManyCalls, match="2 calls are in flight already") as caught:
                admission.enter("/a/B").__enter__()
            assert caught.value.retry_after > 0
        with admission.enter("/a/B"):
            assert admission.inside == 2
    assert admission.inside == 0


def test_a_call_that_fails_leaves_too() -> None:
    admission = Admission(1)
    for _ in range(3):
        with pytest.raises(KeyError), admission.enter("/a/B"):
            raise KeyError


def test_what_is_exempt_is_neither_refused_nor_counted() -> None:
    admission = Admission(1, exempt=("/health/Check",))
    with admission.enter("/a/B"), admission.enter("/health/Check"):
        assert admission.inside == 1
