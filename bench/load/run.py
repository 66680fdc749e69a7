"""Crowds of clients, and what a server makes of them."""

import time

from bench.figure import Figure, Figures
from bench.fuzz.run import resident
from bench.load import endurance
from bench.setting import Setting

FILLED = 20.0  # seconds after which what is not read has filled all buffers on the way
GIVEN_UP, CONNECTIONS, READERS, JOBS = 1000, 2000, 50, 10_000


def endure(place: Setting) -> Figures:
    """1,000 calls that are given up, 2,000 idle connections, 50 slow readers, 10,000 tiny jobs."""
    alone = endurance.interactive(place)
    before = resident(place.pid)
    after, wrong = endurance.give_up(place, GIVEN_UP)
    figures = {
        f"{GIVEN_UP} calls given up: those that ended otherwise": Figure(wrong, at_most=0),
        f"{GIVEN_UP} calls given up: seconds of PGD-10 on one image after them": Figure(after),
    }
    with endurance.idle(place.target, CONNECTIONS):
        beside = endurance.interactive(place)
    figures[f"{CONNECTIONS} idle connections: p95 of Classify over alone"] = Figure(
        beside / alone, at_most=2
    )
    with endurance.slow_readers(place.target, READERS):
        time.sleep(FILLED)
        beside = endurance.interactive(place)
        held = (resident(place.pid) - before) / endurance.MIB
    figures[f"{READERS} slow readers: p95 of Classify over alone"] = Figure(beside / alone)
    figures[f"{READERS} slow readers: MiB that the server has more than before"] = Figure(
        held, at_most=300
    )
    figures[f"{JOBS} tiny jobs: growth of the server in MiB"] = Figure(
        endurance.growth(place, JOBS), at_most=20
    )
    return figures
