"""The methods of striate.v1: each reads its request through `wire`, has the engine compute, and writes the answer."""

from service.handlers.base import House
from service.handlers.interpret import InterpretHandlers
from service.handlers.models import ModelHandlers
from service.handlers.robustness import RobustnessHandlers

__all__ = ["House", "InterpretHandlers", "ModelHandlers", "RobustnessHandlers"]
