"""Two hundred clients for five minutes: interactive ones, and pipelines that take all they get."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.load.client import Met, Plan

PROCESSES = 2
INTERACTIVE = ("classify", "attack", "describe")
ANSWERED = ("OK", "GIVEN UP")  # what a caller has wanted
ROOT = Path(__file__).parents[2]


def run(target: str, plans: Sequence[Plan]) -> list[Met]:
    """Have clients do what they plan, each plan in a process of its own.

    Args:
        target: HOST:PORT of a server.
        plans: of what they do.

    Returns:
        What their calls met.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.load.client", target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in plans
    ]
    for process, plan in zip(processes, plans, strict=True):
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(plan)))
        process.stdin.close()
    found = list[Met]()
    for process in processes:
        assert process.stdout is not None
        found += [Met(**one) for one in json.loads(process.stdout.read())]
        process.wait()
    return found


def shared_out(
    kinds: Sequence[str],
    tokens: Sequence[str],
    pause: float,
    seconds: float,
    cancelled: float = 0.0,
) -> list[Plan]:
    """Plans of a few processes for all these clients."""
    return [
        Plan(
            list(kinds[place::PROCESSES]),
            list(tokens[place::PROCESSES]),
            pause,
            seconds,
            cancelled,
            place,
        )
        for place in range(PROCESSES)
    ]


def lost(found: Sequence[Met]) -> list[str]:
    """Calls that got neither what they asked for nor a refusal that tells when to come back."""
    return [
        f"{one.kind}: {one.code} {one.message}"
        for one in found
        if one.code not in ANSWERED and not (one.code == "RESOURCE_EXHAUSTED" and one.pause)
    ]


def waits(found: Sequence[Met], kind: str, share: float) -> float:
    """That percentile of the seconds of the calls of a kind that were answered."""
    seconds = [one.seconds for one in found if one.kind == kind and one.code == "OK"]
    return float(np.percentile(seconds, 100 * share))


def codes(found: Sequence[Met]) -> str:
    """How many calls ended how, in words."""
    counted = Counter(f"{one.kind} {one.code}" for one in found)
    return ", ".join(f"{what} {count}" for what, count in sorted(counted.items()))
