"""What the calls behind the handles share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from striate._api.operations import OperationCalls
from striate.v1 import interpret_pb2_grpc, model_pb2_grpc, robustness_pb2_grpc, usage_pb2_grpc

if TYPE_CHECKING:
    from striate._rpc.caller import Caller
    from striate.results.models import Layer, ModelInfo


class Connection:
    """A connection to a server, and the stubs of its services.

    Attributes:
        caller: The channel, and the way calls are made on it.
        models: Stub of the ModelService.
        interpret: Stub of the InterpretService.
        robustness: Stub of the RobustnessService.
        usage: Stub of the UsageService.
        operations: The calls about operations.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.models = model_pb2_grpc.ModelServiceStub(caller.channel)
        self.interpret = interpret_pb2_grpc.InterpretServiceStub(caller.channel)
        self.robustness = robustness_pb2_grpc.RobustnessServiceStub(caller.channel)
        self.usage = usage_pb2_grpc.UsageServiceStub(caller.channel)
        self.operations = OperationCalls(caller)


@dataclass(frozen=True)
class ModelContext:
    """One loaded model, and the connection to the server that has it.

    Attributes:
        connection: The connection.
        info: What the model is.
        layers: Its layers in the order of the forward pass.
    """

    connection: Connection
    info: ModelInfo
    layers: list[Layer]

    @property
    def caller(self) -> Caller:
        """The way calls are made."""
        return self.connection.caller

    @property
    def interpret(self) -> interpret_pb2_grpc.InterpretServiceStub:
        """Stub of the InterpretService."""
        return self.connection.interpret

    @property
    def robustness(self) -> robustness_pb2_grpc.RobustnessServiceStub:
        """Stub of the RobustnessService."""
        return self.connection.robustness
