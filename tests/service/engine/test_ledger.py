"""Start-time fair queueing against what an ideal, endlessly divisible device would give."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine import ledger as ledgers
from service.engine.job import Job
from service.engine.ledger import Ledger
from service.engine.share import Account, Share

WEIGHTS = st.sampled_from([0.5, 1.0, 2.0, 3.0, 10.0])
PASS = st.floats(0.001, 0.5)
JOB = cast("Job[Any]", object())


def wanting(ledger: Ledger, share: Share) -> Account:
    """An account that has a job from now on."""
    account = ledger.open(share)
    account.running.append(JOB)
    return account


def serve(ledger: Ledger, seconds: float) -> Account:
    """Give whose turn it is a pass."""
    account = ledger.turn()
    assert account is not None
    ledger.serve(account)
    ledger.charge(account, seconds)
    return account


@given(st.lists(WEIGHTS, min_size=1, max_size=6), st.lists(PASS, min_size=1, max_size=200))
def test_who_always_wants_the_device_has_what_an_ideal_device_gives_but_for_a_pass(
    weights: Sequence[float], passes: Sequence[float]
) -> None:
    ledger = Ledger()
    accounts = [wanting(ledger, Share(str(n), weight)) for n, weight in enumerate(weights)]
    spent = 0.0
    for seconds in passes:
        serve(ledger, seconds)
        spent += seconds
        bound = max(passes) / min(weights)
        for account, weight in zip(accounts, weights, strict=True):
            ideal = spent * weight / sum(weights)
            assert abs(account.seconds - ideal) <= weight * bound + 1e-9


@given(
    st.lists(st.tuples(st.integers(0, 3), PASS), min_size=1, max_size=200),
    st.lists(WEIGHTS, min_size=4, max_size=4),
)
def test_two_that_both_want_the_device_have_the_same_whatever_others_do(
    events: Sequence[tuple[int, float]], weights: Sequence[float]
) -> None:
    """Accounts 2 and 3 come and go; 0 and 1 stay (Goyal et al. 1996, theorem 1)."""
    ledger = Ledger()
    accounts = [wanting(ledger, Share(str(n), weight)) for n, weight in enumerate(weights)]
    bound = max(seconds for _, seconds in events)
    for which, seconds in events:
        if which >= 2:
            if accounts[which].running:
                accounts[which].running.clear()
            else:
                wanting(ledger, accounts[which].share)
        serve(ledger, seconds)
        one, two = (account.seconds / account.share.weight for account in accounts[:2])
        assert abs(one - two) <= bound * (1 / weights[0] + 1 / weights[1]) + 1e-9


@given(st.lists(PASS, min_size=1, max_size=100), st.lists(PASS, min_size=1, max_size=100))
def test_who_does_not_use_their_share_saves_nothing_up(
    alone: Sequence[float], together: Sequence[float]
) -> None:
    ledger = Ledger()
    here, late = wanting(ledger, Share("here")), ledger.open(Share("late"))
    for seconds in alone:
        assert serve(ledger, seconds) is here
    wanting(ledger, late.share)
    before = here.seconds
    for seconds in together:
        serve(ledger, seconds)
    longest = max(*alone, *together)
    assert abs(late.seconds - (here.seconds - before)) <= 2 * longest + 1e-9


def test_who_had_the_idle_device_alone_owes_nothing_to_who_comes_later() -> None:
    ledger = Ledger()
    first = wanting(ledger, Share("first"))
    for _ in range(10):
        serve(ledger, 1.0)
    first.running.clear()
    second = wanting(ledger, Share("second"))
    wanting(ledger, first.share)
    served = [serve(ledger, 1.0) for _ in range(10)]
    assert served.count(first) == served.count(second) == 5


def test_accounts_of_those_who_have_gone_are_forgotten_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledgers, "MOST_IDLE", 10)
    ledger = Ledger()
    stays = wanting(ledger, Share("stays"))
    for number in range(100):
        ledger.open(Share(str(number)))
    assert len(list(ledger)) <= 11
    assert stays in list(ledger)
    assert "99" in [account.share.key for account in ledger]
