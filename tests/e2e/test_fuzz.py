"""Odd requests generated from the descriptors, over all methods: the service is to blame for none
that fails. `python -m bench fuzz` sends 20,000.
"""

from collections import Counter
from pathlib import Path

import pytest

import striate
from bench.fuzz.generate import Generator
from bench.fuzz.methods import METHODS
from bench.fuzz.run import send_all
from service.rpc.registration import SERVICES
from tests.toys_server import serving

ROUNDS = 12


def test_all_methods_of_the_contract_are_tried() -> None:
    ours = {f"/{s.full_name}/{method.name}" for s in SERVICES for method in s.methods}
    names = [method.name for method in METHODS]
    assert ours < set(names)
    assert len(names) == len(set(names))


def test_a_seed_gives_the_same_requests() -> None:
    one, same, other = (
        [Generator(seed).frames(method) for method in METHODS] for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


@pytest.mark.slow  # a server of its own, some hundred requests
def test_the_service_is_to_blame_for_no_odd_request(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, target):
        outcome = send_all(target, ROUNDS * len(METHODS), seed=0, seconds=0.5)
        assert not outcome.faults
        assert process.poll() is None
        with striate.connect(target) as service:
            assert service.health() == "SERVING"
            assert service.health(ready=True) == "SERVING"
    total = sum((Counter(codes) for codes in outcome.codes.values()), Counter[str]())
    assert total["OK"] > ROUNDS * len(METHODS) // 10  # what is behind the doors was tried, too
    assert total["INVALID_ARGUMENT"] > ROUNDS
    log = (tmp_path / "stderr.log").read_text()
    assert "Traceback" not in log
    assert '"level": "error"' not in log
