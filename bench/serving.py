"""The service against the library in this process: crowds of small requests, overhead, endurance,
cancellation.
"""

import statistics
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

import striate
from bench.figure import Figure, Figures
from bench.setting import MODEL, Setting
from bench.timing import seconds
from interp.attack.base import attack
from interp.attack.pgd import fgsm, pgd
from interp.feature.settings import PictureSettings
from interp.feature.visualize import VisualizationResult, visualize_units
from interp.layer import LayerPath
from interp.network.network import Network
from interp.probe import Procedure, solve
from service.config import Settings
from service.engine.engine import Engine
from service.engine.limits import EngineLimits
from service.engine.metrics import Metrics

CLIENTS = 64
EPSILON = 1 / 255


def crowd(place: Setting, repeats: int = 3) -> Figures:
    """64 clients at once, one image each, PGD-20 with early exit off, against one in-process batch
    of 64, and one after another.
    """
    x, y = place.images[:CLIENTS], place.labels[:CLIENTS]
    method = striate.PGD(EPSILON, steps=20, random_start=False, stop_when_fooled=False)
    same = pgd(steps=20, random_start=False, stop_when_fooled=False)
    services = [place.connect() for _ in range(CLIENTS)]
    nets = [service.model(MODEL) for service in services]
    rows = [(net, x[i : i + 1].numpy(), [int(y[i])]) for i, net in enumerate(nets)]

    def ask(row: tuple[striate.Model, object, list[int]]) -> None:
        row[0].attack(row[1], row[2], method)  # type: ignore[arg-type]

    times: dict[str, list[float]] = {"batch": [], "crowd": [], "sequence": []}
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, rows))  # every connection is open and warm
        for _ in range(repeats):
            times["batch"].append(
                seconds(lambda: solve(attack(x, y, same, epsilon=EPSILON), place.local))
            )
            times["crowd"].append(seconds(lambda: list(pool.map(ask, rows))))
            times["sequence"].append(
                sum(seconds(partial(ask, row)) for row in rows[:16]) * CLIENTS / 16
            )
    for service in services:
        service.close()
    batch, together, sequence = (
        statistics.median(times[kind]) for kind in ("batch", "crowd", "sequence")
    )
    return {
        "64 clients x 1 image: rows per second over one in-process batch": Figure(
            batch / together, at_least=0.7
        ),
        "64 clients at once: rows per second over one after another": Figure(sequence / together),
    }


def fgsm_overhead(place: Setting, repeats: int = 100) -> Figures:
    """Median time of one unary FGSM on one image, through the service over in process."""
    x, y = place.images[:1], place.labels[:1]
    remote, local = [], []
    with place.connect() as service:
        net = service.model(MODEL)
        for turn in range(repeats + 5):
            there = seconds(lambda: net.attack(x.numpy(), [int(y[0])], striate.FGSM(EPSILON)))
            here = seconds(lambda: solve(attack(x, y, fgsm(), epsilon=EPSILON), place.local))
            if turn >= 5:
                remote.append(there)
                local.append(here)
    return {
        "unary FGSM: p50 through the service over in process": Figure(
            statistics.median(remote) / statistics.median(local), at_most=1.3
        )
    }


def _resident(pid: int) -> float:
    """Resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return (
        int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        / 1024
    )


def many_visualizations(place: Setting, count: int = 1000) -> Figures:
    """Visualizations in a row: time of the last 20 over the first 20, and the server's growth after
    the first 20.
    """
    times = []
    with place.connect() as service:
        net = service.model(MODEL)
        net.visualize("layer2.2:0", steps=16)
        for number in range(count):
            times.append(seconds(partial(net.visualize, f"layer2.2:{number % 32}", steps=16)))
            if number == 19:
                before = _resident(place.pid)
        growth = _resident(place.pid) - before
    return {
        f"{count} visualizations: last 20 over first 20 in time": Figure(
            statistics.median(times[-20:]) / statistics.median(times[:20]), at_most=1.1
        ),
        f"{count} visualizations: growth of the server in MiB": Figure(growth),
    }


def cancellation(place: Setting, repeats: int = 5) -> Figures:
    """Ticks between the cancelling of a 512-step visualization and its leaving, at most; in
    process, where ticks can be counted.
    """
    limits = EngineLimits.for_device("cpu", Settings(threads=place.threads))
    engine = Engine(Metrics(), limits)
    try:
        return {
            "ticks until a cancelled 512-step visualization has left": Figure(
                max(_ticks(engine, place) for _ in range(repeats)), at_most=1
            )
        }
    finally:
        engine.close(1)


def _ticks(engine: Engine, place: Setting) -> int:
    left: Future[int] = Future()

    def watched() -> Procedure[VisualizationResult]:
        try:
            return (
                yield from visualize_units(
                    [LayerPath("layer2.2", 3)],
                    torch.zeros(()),
                    PictureSettings(place.local.shape, steps=512),
                )
            )
        finally:
            left.set_result(engine.ticks)

    under_way = threading.Event()
    job = engine.submit(
        Model(place.local),
        watched(),
        on_progress=lambda progress, _: under_way.set() if progress.step == 10 else None,
    )
    under_way.wait(60)
    cancelled = engine.ticks
    job.cancel()
    return left.result(60) - cancelled


@dataclass(frozen=True)
class Model:
    """A network as the engine wants it."""

    network: Network
    bytes_per_row: int = 2**20
    name: str = "bench"
