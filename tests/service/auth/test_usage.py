"""What callers use, against what they may have."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.auth import usage as usages
from service.auth.identity import EVERYONE, Identity, Role
from service.auth.quota import Quota, QuotaExceeded, RateExceeded
from service.auth.usage import Meter, require


class Clock:
    """Moves when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def ann(**caps: float) -> Identity:
    return Identity("ann", Role.COMPUTE, quota=Quota(**caps))


def refused_for(meter: Meter, by: Identity) -> float:
    """Seconds after which a request may come back; 0 where it is let in."""
    try:
        meter.request(by)
    except RateExceeded as refused:
        return refused.retry_after
    return 0.0


@given(st.sampled_from([0.5, 2.0, 5.0]), st.lists(st.floats(0, 1.5), min_size=1, max_size=80))
def test_requests_are_let_in_as_a_bucket_says_and_told_when_to_come_back(
    rate: float, pauses: Sequence[float]
) -> None:
    clock = Clock()
    meter, by = Meter(clock), ann(requests_per_second=rate)
    let_in: list[float] = []
    for pause in pauses:
        clock.now += pause
        wait = refused_for(meter, by)
        if wait:
            assert 0 < wait <= 1 / rate + 1e-6
            clock.now += wait + 1e-6
            assert not refused_for(meter, by)  # it is true
        let_in.append(clock.now)
    assert meter.usage("ann").requests == len(pauses)
    # between any two moments no more than the bucket holds, and what came meanwhile
    for first in range(len(let_in)):
        for last in range(first, len(let_in)):
            allowed = max(1.0, rate) + rate * (let_in[last] - let_in[first])
            assert last - first + 1 <= allowed + 1e-6


def test_rows_are_counted_while_they_are_in_flight() -> None:
    meter, by = Meter(Clock()), ann(rows_in_flight=10)
    with meter.rows(by, 6):
        told = "10 rows in flight, has 6 and asks for 5"
        with pytest.raises(QuotaExceeded, match=told) as found, meter.rows(by, 5):
            raise AssertionError("let in")
        assert found.value.facts == {"quota": "rows_in_flight", "limit": "10", "used": "6"}
        assert found.value.retry_after > 0
        with meter.rows(by, 4), meter.rows(by, 0), meter.rows(EVERYONE, 1000):
            assert meter.usage("ann").rows == 10
    assert meter.usage("ann").rows == 0
    with pytest.raises(ZeroDivisionError), meter.rows(by, 10):
        raise ZeroDivisionError
    with meter.rows(by, 10):
        pass


def test_gradients_are_paid_for_afterwards() -> None:
    clock = Clock()
    meter, by = Meter(clock), ann(image_gradients_per_minute=600)
    meter.require_gradients(by)
    meter.spend("ann", 1000)  # what has begun goes on
    with pytest.raises(QuotaExceeded, match="who sets image_gradients_per_minute") as found:
        meter.require_gradients(by)
    assert found.value.retry_after == pytest.approx(401 / 10)
    clock.now += found.value.retry_after - 0.2
    with pytest.raises(QuotaExceeded):
        meter.require_gradients(by)
    clock.now += 0.2
    meter.require_gradients(by)
    clock.now += 3600
    assert meter.used_of_gradients(by) == 0  # an hour without use saves nothing up
    assert meter.usage("ann").gradients == 1000
    meter.spend("ben", 10**9)
    meter.require_gradients(by)


def test_who_has_no_caps_is_never_refused() -> None:
    meter = Meter(Clock())
    meter.spend("", 10**12)
    for _ in range(1000):
        meter.request(EVERYONE)
    meter.require_gradients(EVERYONE)
    require(EVERYONE, "operations", 10**9)
    assert (meter.used_of_gradients(EVERYONE), meter.used_of_requests(EVERYONE)) == (0, 0)


def test_what_would_be_one_too_many_is_refused() -> None:
    require(ann(operations=3), "operations", 2)
    with pytest.raises(QuotaExceeded, match="ann may have 3 operations, has 3"):
        require(ann(operations=3), "operations", 3)
    require(ann(rows_in_flight=100), "rows_in_flight", 60, 40)
    with pytest.raises(QuotaExceeded, match="has 60 and asks for 41 more"):
        require(ann(rows_in_flight=100), "rows_in_flight", 60, 41)


def test_of_many_callers_those_are_forgotten_that_have_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(usages, "MOST_KEPT", 10)
    meter = Meter(Clock())
    with meter.rows(Identity("stays", Role.READ), 5):
        for number in range(100):
            meter.spend(str(number), 1)
        assert len(meter._by_name) <= 10
        assert meter.usage("stays").rows == 5
