"""Metrics that are read when somebody asks for them, and cost nothing otherwise."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = structlog.get_logger("striate")


@dataclass(frozen=True)
class Reading:
    """A metric that is read.

    Attributes:
        name: of the metric; those that end in "_total" only ever grow.
        help: what it tells, for the page of metrics.
        read: gives its value, or with a label one for each value of the label; called in the thread
            that answers for the metrics.
        label: by which there are several values; "" for one alone.
    """

    name: str
    help: str
    read: Callable[[], float | Mapping[str, float]]
    label: str = ""

    def family(self) -> Metric:
        """Read it.

        Returns:
            Its values now; none where it cannot be read, which must not hide the others.
        """
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        family = kind(self.name, self.help, labels=[self.label] if self.label else [])
        try:
            found = self.read()
        except Exception as error:  # noqa: BLE001 - whatever is wrong there, the others are wanted
            log.warning("a metric cannot be read", metric=self.name, error=str(error))
            return family
        for label, value in found.items() if isinstance(found, Mapping) else [("", found)]:
            family.add_metric([label] if self.label else [], value)
        return family


class Gauges(Collector):
    """All that a server reads when it is asked for its metrics, for a registry.

    Args:
        readings: each of a name of its own.
    """

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._readings = tuple(readings)

    def collect(self) -> Iterator[Metric]:
        """Read each metric."""
        return (reading.family() for reading in self._readings)
