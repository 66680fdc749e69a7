"""Crowds of clients, and what a server makes of them."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figure import Figure, Figures
from bench.fuzz.run import resident
from bench.load import endurance
from bench.load.client import Plan
from bench.load.crowd import INTERACTIVE, codes, lost, run, shared_out, waits
from bench.setting import MODEL, Setting
from service.auth.tokens import digest, new_token

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


CLIENTS, PIPELINES, SECONDS = 200, 20, 300.0
PAUSE = 20.0  # seconds between two requests of an interactive client, on average
ALONE_SECONDS = 30.0
CANCELLED = 0.05  # share of the calls that their caller gives up
SHOWN = 20
QUOTAS = {
    "attack": "requests_per_second = 2\n",
    "pipeline": "rows_in_flight = 8\nimage_gradients_per_minute = 20000\n",
}


def load(place: Setting) -> Figures:
    """200 clients for five minutes (`--images` gives another number of seconds), each with a key:
    180 who ask for one thing now and then, and 20 pipelines that take all their quotas allow.
    """
    seconds = float(place.rows or SECONDS)
    kinds = ["pipeline"] * PIPELINES
    kinds += [INTERACTIVE[n % len(INTERACTIVE)] for n in range(CLIENTS - PIPELINES)]
    tokens = [new_token() for _ in kinds]
    with _guarded(kinds, tokens, place.threads) as target:
        first = [kinds.index(kind) for kind in INTERACTIVE]
        alone = [
            found
            for at in first
            for found in run(target, [Plan([kinds[at]], [tokens[at]], 0.2, ALONE_SECONDS / 3)])
        ]
        found = run(target, shared_out(kinds, tokens, PAUSE, seconds, CANCELLED))
    gone = lost(found)
    for one in gone[:SHOWN]:
        print(one)
    about = f"{CLIENTS} clients for {seconds:g} s"
    figures = {
        f"{about}: answers lost, or refused without a time to come back": Figure(
            len(gone), at_most=0, note=codes(found)
        )
    }
    for kind in INTERACTIVE:
        figures[f"{about}: p99 of {kind} over alone"] = Figure(
            waits(found, kind, 0.99) / waits(alone, kind, 0.99),
            at_most=10,
            note=f"alone {1000 * waits(alone, kind, 0.99):.0f} ms",
        )
    return figures


@contextmanager
def _guarded(kinds: list[str], tokens: list[str], threads: int) -> Iterator[str]:
    """A server with the bench's model and these keys; its HOST:PORT."""
    data = os.environ.get("STRIATE_DATA")
    with tempfile.TemporaryDirectory() as folder:
        auth = Path(folder) / "auth.toml"
        auth.write_text(
            "".join(
                f'[[tokens]]\nname = "{kind}{number}"\nrole = "compute"\n'
                f'sha256 = "{digest(token)}"\n{QUOTAS.get(kind, "")}'
                for number, (kind, token) in enumerate(zip(kinds, tokens, strict=True))
            )
        )
        auth.chmod(0o600)
        command = [str(Path(sys.executable).with_name("striate-server")), "--port", "0"]
        command += ["--threads", str(threads), "--log-level", "error", "--auth", str(auth)]
        command += ["--state-dir", f"{folder}/state", "--model", MODEL]
        command += ["--weights-dir", f"{data}/weights"] if data else []
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()
            process.wait(timeout=60)
