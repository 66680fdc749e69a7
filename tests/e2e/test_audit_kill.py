"""An audit outlives its server, killed at random moments of it: the reports are those of an
undisturbed audit, byte for byte.
"""

from pathlib import Path

import pytest

from bench.audit_kill import FORMATS, under_fire

pytestmark = pytest.mark.slow  # servers that are ended and started anew

KILLS, SHARDS = 5, 48  # `python -m bench audit-kill` does 20


@pytest.mark.timeout(600)
def test_an_audit_outlives_its_server(tmp_path: Path) -> None:
    outcome = under_fire(tmp_path, KILLS, SHARDS, seed=1)
    assert outcome.same == dict.fromkeys(FORMATS, True)
    assert outcome.hits == KILLS
    assert outcome.redone <= KILLS
