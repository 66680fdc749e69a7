"""A device of which every pass takes as long as it is told, and shares that want it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from interp.probe import Answer, Probe
from service.engine.engine import Engine
from service.engine.metrics import Metrics
from service.engine.share import Share
from tests.service.engine.toys_engine import Recorder, limits


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Timed(Recorder):
    """A network whose passes take `first` seconds and `row` for each of their rows."""

    def __init__(
        self,
        clock: Clock,
        first: float = 0.0,
        row: float = 0.01,
        before: Callable[[int], None] = lambda passes: None,
    ) -> None:
        super().__init__(before=before)
        self.clock, self.first, self.row = clock, first, row
        self.ended: list[float] = []  # when each pass did

    def answer(self, probes: Sequence[Probe]) -> list[Answer]:
        answers = super().answer(probes)
        self.clock.now += self.first + self.row * sum(self.passes[-1].values())
        self.ended.append(self.clock.now)
        return answers


@contextmanager
def timed(**options: int) -> Iterator[tuple[Engine, Clock]]:
    """An engine on a clock that its passes move, closed in the end."""
    clock = Clock()
    engine = Engine(Metrics(), limits(**options), clock)
    try:
        yield engine, clock
    finally:
        engine.close(0)


ANN, BEN, EVE = Share("ann"), Share("ben"), Share("eve")
