"""RobustnessService, made up of its three parts."""

from pathlib import Path

from service.handlers.attacks import AttackHandlers
from service.handlers.audit import AuditHandlers
from service.handlers.base import House
from service.handlers.stream import StreamHandlers
from service.operations import Operations
from striate.v1 import robustness_pb2_grpc


class RobustnessHandlers(AttackHandlers, StreamHandlers, AuditHandlers, robustness_pb2_grpc.RobustnessServiceServicer):
    """Attack, AttackStream, Audit, ReadAuditReport, UploadDataset."""

    def __init__(self, house: House, operations: Operations, state: Path, chunk: int) -> None:
        """The settings are those of the three parts."""
        AttackHandlers.__init__(self, house)
        StreamHandlers.__init__(self, house)
        AuditHandlers.__init__(self, house, operations, state, chunk)
