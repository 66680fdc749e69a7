"""The methods of striate.v1: each reads its request through `wire`, has the engine compute, and
writes the answer.
"""

from service.rpc.context import House
from service.rpc.handlers.interpret import InterpretHandlers
from service.rpc.handlers.models import ModelHandlers
from service.rpc.handlers.robustness import RobustnessHandlers

__all__ = ["House", "InterpretHandlers", "ModelHandlers", "RobustnessHandlers"]
