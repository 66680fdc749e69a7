"""How far an audit is."""

from __future__ import annotations

from dataclasses import dataclass

from striate._rpc.caller import Caller
from striate.v1 import audit_pb2


@dataclass(frozen=True)
class AuditProgress:
    """How far an audit is.

    Attributes:
        models: Names of the models.
        dataset: Name of the data set.
        images_done: Images that are judged or left out so far.
        images_total: Images to be judged in all.
        gradients: Image-gradients so far.
        seconds_left: Estimate of the time left in seconds, None before there is one.
        stage: What is being done, e.g. "shard 3 of 8".
        images_left_out: Of `images_done` those that could not be used.
        owner: Name of who started it; "" where the server asks for no keys.
        share: Callers and roles who may see it, too.
    """

    models: tuple[str, ...]
    dataset: str
    images_done: int
    images_total: int
    gradients: int
    seconds_left: float | None
    stage: str
    images_left_out: int = 0
    owner: str = ""
    share: tuple[str, ...] = ()

    @staticmethod
    def read(data: bytes, caller: Caller, operation: str) -> AuditProgress:
        """Reads the operation's packed metadata."""
        message = audit_pb2.AuditMetadata.FromString(data)
        return AuditProgress(
            models=tuple(message.models),
            dataset=message.dataset,
            images_done=message.images_done,
            images_total=message.images_total,
            gradients=message.gradients,
            seconds_left=message.seconds_left if message.HasField("seconds_left") else None,
            stage=message.stage,
            images_left_out=message.images_left_out,
            owner=message.owner,
            share=tuple(message.share),
        )
