"""What the tests of the engine share: models without a network, procedures that count, and an
engine that is held until all is queued.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from interp.network.network import Network
from interp.objective import Objective
from interp.probe import Answer, Probe, Procedure, StepProgress
from service.engine.engine import Engine
from service.engine.limits import EngineLimits
from service.engine.metrics import Metrics

WAIT = 30  # seconds; nothing in these tests takes a tenth of that


@dataclass
class Model:
    """A hosted network, as the engine sees it."""

    network: Network
    bytes_per_row: int = 0
    name: str = "toy"


class Recorder:
    """Stands in for a network: scores an image by its first pixel, and keeps what each pass was
    made of, {tag: rows}.
    """

    shape = (1, 1, 2)

    def __init__(
        self, capacity: int = 10**9, before: Callable[[int], None] = lambda passes: None
    ) -> None:
        self.capacity, self.before = capacity, before
        self.passes: list[dict[int, int]] = []
        self.numbers: list[list[int]] = []  # of the rows of each pass
        self.refused: list[int] = []

    def answer(self, probes: Sequence[Probe]) -> list[Answer]:
        rows = sum(len(p.images) for p in probes)
        self.before(len(self.passes) + 1)
        if rows > self.capacity:
            self.refused.append(rows)
            raise torch.OutOfMemoryError(f"{rows} rows")
        seen: dict[int, int] = {}
        for probe in probes:
            tag = int(probe.images[0, 0, 0, 0])
            seen[tag] = seen.get(tag, 0) + len(probe.images)
        self.passes.append(seen)
        self.numbers.append([int(n) for p in probes for n in p.images[:, 0, 0, -1]])
        return [Answer(score=p.images[:, 0, 0, 0].clone(), grad=p.images.clone()) for p in probes]

    def of(self, tag: int) -> list[int]:
        """Rows of this tag in the passes that had any."""
        return [seen[tag] for seen in self.passes if tag in seen]

    @property
    def model(self) -> Model:
        return Model(cast(Network, self))


def _first_pixel(_: Any) -> Tensor:
    raise AssertionError("recorders score by themselves")


FIRST_PIXEL = Objective((), _first_pixel)


def steps(
    tag: int, rows: int, count: int, splittable: bool = True, log: list[str] | None = None
) -> Procedure[list[Tensor]]:
    """Asks `count` times for `rows` rows, whose pixels are `tag` and the row's number; returns the
    scores. Logs when it ends.
    """
    scores = []
    try:
        for step in range(1, count + 1):
            images = torch.full((rows, 1, 1, 2), float(tag))
            images[:, 0, 0, 1] = torch.arange(rows)
            answer = yield Probe(
                images,
                FIRST_PIXEL,
                splittable=splittable,
                progress=StepProgress(step, count, images.clone),
            )
            assert answer.score is not None
            assert answer.grad is not None
            assert torch.equal(answer.grad, images)  # all rows, in order
            scores.append(answer.score)
    finally:
        if log is not None:
            log.append(f"{tag} closed")
    return scores


def limits(**changed: int) -> EngineLimits:
    """What an engine of the tests takes on: 64 rows a pass, 2 GiB, chunks of 8, one thread."""
    return replace(EngineLimits(64, 2**31, 256, 8, 1), **changed)


@contextmanager
def running(**options: int) -> Iterator[Engine]:
    """An engine with some limits changed, closed in the end."""
    engine = Engine(Metrics(), limits(**options))
    try:
        yield engine
    finally:
        engine.close(0)


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """Keeps the engine from its next turn until the end of the block, so that all that is submitted
    inside starts together.
    """
    release, holding = threading.Event(), threading.Event()

    def hold() -> None:
        holding.set()
        assert release.wait(WAIT)

    future = engine.run(hold)
    assert holding.wait(WAIT)
    try:
        yield
    finally:
        release.set()
        future.result(WAIT)


def counted(engine: Engine, name: str, **labels: str) -> float:
    """A counter of the engine's metrics."""
    return engine._metrics.registry.get_sample_value(name, labels) or 0.0


def forever(tag: int, rows: int = 1) -> Generator[Probe, Answer, None]:
    """Never has enough."""
    while True:
        yield from steps(tag, rows, 1)
