"""MeasureTuning: what gratings units answer to."""

from service.handlers.base import Interpreter


class TuningHandlers(Interpreter):
    """MeasureTuning."""
