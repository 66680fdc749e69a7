"""Thin client of Striate: what each unit of a network sees, and what fools the whole, asked over gRPC.

import striate

with striate.connect("localhost:50051") as service:
    net = service.model("cifar10-plain")
    net.visualize("layer2.0:7").save("unit.png")
"""

from typing import Any

from striate.adversarial import AttackResult
from striate.attack_wire import Drive, Silence
from striate.attacks import APGD, FAB, FGSM, PGD, AutoAttack, EpsilonSearch, Square
from striate.audit import AuditProgress, AuditReport, Gate
from striate.connection import Service, connect
from striate.curve import EpsilonCurve
from striate.errors import (
    Aborted,
    BadImage,
    Cancelled,
    DatasetNotFound,
    DatasetUnreadable,
    DeadlineExceeded,
    FailedPrecondition,
    IndexNotFound,
    Internal,
    InvalidArgument,
    LayerNotFound,
    ModelBusy,
    ModelNotFound,
    ModelNotLoadable,
    NotFinite,
    NotFound,
    OperationNotFound,
    OperationRunning,
    OutOfMemory,
    QueueFull,
    ResourceExhausted,
    ShuttingDown,
    StriateError,
    StriateWarning,
    TooManyOperations,
    Unavailable,
    Unimplemented,
)
from striate.exemplars import Exemplar, Exemplars
from striate.info import DatasetInfo, Layer, ModelInfo, Provenance, ReceptiveField, Sample
from striate.model import Model
from striate.operation import IndexProgress, IndexReport, Operation
from striate.results import Classifications, Filters, Prediction, Progress, Visualization, Visualizations
from striate.streamed import AttackRow, StreamedImage

__all__ = [
    "APGD",
    "FAB",
    "FGSM",
    "PGD",
    "Aborted",
    "AttackResult",
    "AttackRow",
    "AuditProgress",
    "AuditReport",
    "AutoAttack",
    "BadImage",
    "Cancelled",
    "Classifications",
    "DatasetInfo",
    "DatasetNotFound",
    "DatasetUnreadable",
    "DeadlineExceeded",
    "Drive",
    "EpsilonCurve",
    "EpsilonSearch",
    "Exemplar",
    "Exemplars",
    "FailedPrecondition",
    "Filters",
    "Gate",
    "IndexNotFound",
    "IndexProgress",
    "IndexReport",
    "Internal",
    "InvalidArgument",
    "Layer",
    "LayerNotFound",
    "Model",
    "ModelBusy",
    "ModelInfo",
    "ModelNotFound",
    "ModelNotLoadable",
    "NotFinite",
    "NotFound",
    "Operation",
    "OperationNotFound",
    "OperationRunning",
    "OutOfMemory",
    "Prediction",
    "Progress",
    "Provenance",
    "QueueFull",
    "ReceptiveField",
    "ResourceExhausted",
    "Sample",
    "Service",
    "ShuttingDown",
    "Silence",
    "Square",
    "StreamedImage",
    "StriateError",
    "StriateWarning",
    "TooManyOperations",
    "Unavailable",
    "Unimplemented",
    "Visualization",
    "Visualizations",
    "connect",
]


def __getattr__(name: str) -> Any:
    """`__version__`, read only when asked for: importlib.metadata would cost a tenth of the import."""
    if name == "__version__":
        from importlib.metadata import version

        return version("striate-client")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
