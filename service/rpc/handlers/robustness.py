"""RobustnessService, made up of its three parts."""

from pathlib import Path

from service.operations import Operations
from service.rpc.context import House
from service.rpc.handlers.attack import AttackHandlers
from service.rpc.handlers.attack_stream import StreamHandlers
from service.rpc.handlers.audit import AuditHandlers
from striate.v1 import robustness_pb2_grpc


class RobustnessHandlers(
    AttackHandlers, StreamHandlers, AuditHandlers, robustness_pb2_grpc.RobustnessServiceServicer
):
    """Attack, AttackStream, Audit, ReadAuditReport, UploadDataset."""

    def __init__(self, house: House, operations: Operations, state: Path, chunk: int) -> None:
        """The settings are those of the three parts."""
        AttackHandlers.__init__(self, house)
        StreamHandlers.__init__(self, house)
        AuditHandlers.__init__(self, house, operations, state, chunk)
