"""What one client's much costs another's little, and what it costs all that it costs so little:
beside a client that wants the whole device, on a server whose callers take turns and on one whose
callers do not.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

import grpc

from bench.figure import Figure, Figures
from bench.load.rivals import Rival, asks, attacking, picturing, rival
from bench.setting import MODEL, Setting
from bench.timing import p95, seconds

LARGE = "mobilenet_v2"  # of 224 x 224 pixels
ROUNDS, SLICE, SETTLE = 2, 12.0, 20.0  # seconds
PAUSE = 0.4  # seconds that the other client thinks before it asks again
ALONE = 30  # questions of each kind that are asked of an idle server

Load = Callable[[Rival], AbstractContextManager[None]]
LOADS: Mapping[str, Load] = {
    "500 x PGD-50 x 8 rows": partial(attacking, calls=500),
    "4 x 64 pictures x 4,096 steps": partial(picturing, calls=4, count=64, steps=4096),
}


@dataclass
class Seen:
    """What slices on one server have shown: rows and seconds in all, and what each question
    took.
    """

    rows: float = 0.0
    seconds: float = 0.0
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def fairness(place: Setting) -> Figures:
    """A small network and a large one, beside attacks and beside pictures."""
    figures = Figures()
    for model in (MODEL, LARGE):
        figures |= fairness_of(model, place.threads)
    return figures


def fairness_of(model: str, threads: int, loads: Mapping[str, Load] = LOADS) -> Figures:
    """The figures of one network."""
    figures = Figures()
    with rival(model, threads, fair=True) as fair, rival(model, threads, fair=False) as unfair:
        alone = _alone(fair)
        for name, load in loads.items():
            seen = {True: Seen(), False: Seen()}
            for _ in range(ROUNDS):
                for kind, place in ((True, fair), (False, unfair)):
                    with load(place):
                        _slice(place, seen[kind])
                    time.sleep(1)
            for question, waits in alone.items():
                about = f"{model} beside {name}: p95 of {question}"
                had, quiet = seen[True].waits[question], p95(waits)
                note = f"alone {1000 * quiet:.0f} ms, {len(had)} questions"
                figures[f"{about} over alone"] = Figure(p95(had) / quiet, at_most=3, note=note)
                worst = max(seen[False].waits[question], default=float("nan"))
                figures[f"{about} over alone where nobody takes turns, at least"] = Figure(
                    worst / quiet
                )
            rates = {kind: one.rows / one.seconds for kind, one in seen.items()}
            figures[f"{model} beside {name}: rows a second over unfair"] = Figure(
                rates[True] / rates[False], at_least=0.95, note=f"{rates[True]:.1f} a second"
            )
    return figures


def _alone(place: Rival) -> dict[str, list[float]]:
    """Seconds of each question on an idle server."""
    with place.connected() as channel:
        questions = asks(place, channel, 60)
        for ask in questions.values():
            ask()
        return {name: [seconds(ask) for _ in range(ALONE)] for name, ask in questions.items()}


def _slice(place: Rival, seen: Seen) -> None:
    """Ask one question after another for a while, and see how far all get meanwhile."""
    with place.connected() as channel:
        time.sleep(SETTLE)
        began, rows, asked = time.monotonic(), place.rows(), 0
        end = began + SLICE
        while (left := end - time.monotonic()) > 0:
            for name, ask in asks(place, channel, left).items():
                try:
                    seen.waits[name].append(seconds(ask))
                    asked += name == "Classify"
                except grpc.RpcError:  # no answer within the slice: it would have taken longer yet
                    seen.waits[name].append(left)
                time.sleep(min(PAUSE, max(0.0, end - time.monotonic())))
                left = max(0.01, end - time.monotonic())
        seen.rows += place.rows() - rows - asked  # a row that is classified is none of an attack
        seen.seconds += time.monotonic() - began
