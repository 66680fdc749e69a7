"""Many clients with one image each against one after another; and whether company can change a
byte, and what it costs that it cannot.
"""

import random
import statistics
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import striate
from bench.figure import Figure, Figures
from bench.setting import MODEL, Setting
from bench.timing import p95, seconds, timed

EPSILON = 1 / 255
METHOD = striate.PGD(EPSILON, steps=20, random_start=False, stop_when_fooled=False)


def crowds(place: Setting, repeats: int = 5) -> Figures:
    """16 and 64 clients at once, each with a connection and an image of its own, PGD-20 with early
    exit off.
    """
    figures = Figures()
    for clients in (16, 64):
        together, sequence, waits, lone = _race(place, clients, repeats)
        about = f"{clients} clients x 1 image, PGD-20"
        figures[f"{about}: rows per second at once over one after another"] = Figure(
            sequence / together
        )
        figures[f"{about}: p95 of a client's wait in ms"] = Figure(1000 * p95(waits))
        figures[f"{about}: p95 of the wait over the whole crowd's time"] = Figure(
            p95(waits) / together
        )
        figures[f"{about}: p95 alone in ms"] = Figure(1000 * p95(lone))
    return figures


def _race(
    place: Setting, clients: int, repeats: int
) -> tuple[float, float, list[float], list[float]]:
    """Median seconds of the crowd and of the same requests in sequence; each client's seconds in
    the crowd, and alone.
    """
    together, sequence, waits, lone = list[float](), list[float](), list[float](), list[float]()
    with ExitStack() as stack, ThreadPoolExecutor(clients) as pool:
        nets = [stack.enter_context(place.connect()).model(MODEL) for _ in range(clients)]
        asks = [
            partial(net.attack, place.images[i : i + 1].numpy(), [int(place.labels[i])], METHOD)
            for i, net in enumerate(nets)
        ]
        list(pool.map(lambda ask: ask(), asks))  # every connection is open and warm
        for _ in range(repeats):
            total, each = timed(lambda: list(pool.map(seconds, asks)))
            together.append(total)
            waits += each
            alone = [seconds(ask) for ask in asks]
            sequence.append(sum(alone))
            lone += alone
    return statistics.median(together), statistics.median(sequence), waits, lone


def determinism(place: Setting, batchings: int = 100) -> Figures:
    """Requests of several kinds, each answered alone and then in 100 random companies, by the
    server, in deterministic mode.
    """
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        nets = [stack.enter_context(place.connect()).model(MODEL) for _ in range(8)]
        kinds = _requests(place)
        alone = [_bytes(kind(nets[0])) for kind in kinds]
        rng, equal, asked = random.Random(0), 0, 0
        for _ in range(batchings):
            chosen = [rng.randrange(len(kinds)) for _ in range(rng.randint(2, 8))]
            gate = threading.Barrier(len(chosen))
            answers = pool.map(
                partial(_answer, gate), [kinds[i] for i in chosen], nets[: len(chosen)]
            )
            same = [_bytes(answer) == alone[i] for i, answer in zip(chosen, answers, strict=True)]
            equal, asked = equal + sum(same), asked + len(same)
        costs = _costs(place, nets[0])
    return {
        (
            f"deterministic: requests with the same bytes in {batchings} random companies, "
            f"share of {asked}"
        ): Figure(equal / asked, at_least=1.0),
        **{
            f"deterministic over default in time, PGD-20 of {rows} images": Figure(cost)
            for rows, cost in costs.items()
        },
    }


Request = Callable[[striate.Model], striate.AttackResult]


def _requests(place: Setting) -> list[Request]:
    methods = [
        striate.PGD(2 / 255, steps=2),
        striate.PGD(0.2, steps=2, norm="l2"),
        striate.PGD(1 / 255, steps=2, stop_when_fooled=False),
        striate.FGSM(4 / 255),
    ]
    bounds = [(0, 1), (1, 2), (2, 5), (5, 9), (9, 18), (18, 19), (19, 21), (21, 22)]
    requests: list[Request] = []
    for number, (low, high) in enumerate(bounds):
        options: dict[str, Any] = {
            "seed": number,
            "noise_control": number % 2 == 1,
            "format": "png" if number % 3 == 2 else "float32",
        }
        images, labels, method = (
            place.images[low:high].numpy(),
            place.labels[low:high].tolist(),
            methods[number % 4],
        )
        requests.append(
            partial(
                _ask, images=images, labels=labels, attack=method, deterministic=True, **options
            )
        )
    return requests


def _ask(net: striate.Model, **request: Any) -> striate.AttackResult:
    return net.attack(**request)


def _answer(gate: threading.Barrier, request: Request, net: striate.Model) -> striate.AttackResult:
    gate.wait(60)
    return request(net)


def _bytes(result: striate.AttackResult) -> list[bytes]:
    noise = [] if result.noise_norms is None else [result.noise_norms.tobytes()]
    return [
        result.images.tobytes(),
        result.predictions.tobytes(),
        result.clean_predictions.tobytes(),
        result.norms.tobytes(),
        *noise,
    ]


def _costs(place: Setting, net: striate.Model, repeats: int = 5) -> dict[int, float]:
    """Batch size -> how many times as long a deterministic request takes, median of the turns."""
    costs = {}
    for rows in (1, 8, 64):
        images, labels = place.images[:rows].numpy(), place.labels[:rows].tolist()
        turns = [
            [
                seconds(partial(net.attack, images, labels, METHOD, deterministic=fixed))
                for fixed in (True, False)
            ]
            for _ in range(repeats + 1)
        ]
        costs[rows] = statistics.median(fixed / free for fixed, free in turns[1:])
    return costs
