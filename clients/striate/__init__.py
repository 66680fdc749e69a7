"""The thin client of Striate, which asks over gRPC what units of a network see and what fools it.

import striate

with striate.connect("localhost:50051") as service:
    net = service.model("cifar10-plain")
    net.visualize("layer2.0:7").save("unit.png")
"""

from typing import TYPE_CHECKING, Any

from striate._api.operation import Operation
from striate.attacks import Drive, EpsilonSearch, Silence
from striate.attacks import methods as _methods
from striate.attacks.methods import *  # noqa: F403 (its `__all__` names the attacks)
from striate.errors import (
    Aborted,
    AuditChanged,
    BadImage,
    Cancelled,
    DataLoss,
    DatasetBusy,
    DatasetNotFound,
    DatasetUnreadable,
    DeadlineExceeded,
    FailedPrecondition,
    IndexNotFound,
    Internal,
    InvalidArgument,
    LayerNotFound,
    ModelBusy,
    ModelNotExportable,
    ModelNotFound,
    ModelNotLoadable,
    NoReport,
    NotDifferentiable,
    NotExplainable,
    NotFinite,
    NotFound,
    OperationNotFound,
    OperationRunning,
    OutOfMemory,
    PermissionDenied,
    ProviderUnreachable,
    QueueFull,
    QuotaExceeded,
    ResourceExhausted,
    ShuttingDown,
    StorageFull,
    StorageReadOnly,
    StriateError,
    StriateWarning,
    TLSFailed,
    TooManyCalls,
    TooManyOperations,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    UploadTooLarge,
)
from striate.hosting import host
from striate.model import Model
from striate.provenance import Provenance
from striate.results.attack import (
    AttackResult,
    AttackRow,
    EpsilonCurve,
    RowFailure,
    StreamedImage,
)
from striate.results.attributions import Attributions
from striate.results.audit import (
    AuditProgress,
    AuditReport,
    Comparison,
    CorruptionError,
    Gate,
    MeanCorruptionError,
)
from striate.results.classification import Classifications, Prediction
from striate.results.datasets import DatasetInfo, LeftOutImage, Sample, Samples
from striate.results.exemplars import Exemplar, Exemplars
from striate.results.index import IndexProgress, IndexReport
from striate.results.models import Layer, ModelInfo, ReceptiveField
from striate.results.unit_statistics import LayerStatistics, UnitStatistics
from striate.service import Service, connect

if TYPE_CHECKING:
    from striate import regularize, space, view
    from striate.objective import Direction, Like, Objective, Unit, interpolate
    from striate.results.activations import Activations, UnitActivation
    from striate.results.certificate import Appearance, Certificate
    from striate.results.dossier import Dossier
    from striate.results.facets import Facet, Facets
    from striate.results.filters import FilterAnalysis, Filters
    from striate.results.layer_pictures import LayerPictures, UnitPicture
    from striate.results.tuning import Tuning, UnitTuning
    from striate.results.visualization import Progress, Visualization, Visualizations

__all__ = [
    "Aborted",
    "Activations",
    "Appearance",
    "AttackResult",
    "AttackRow",
    "Attributions",
    "AuditChanged",
    "AuditProgress",
    "AuditReport",
    "BadImage",
    "Cancelled",
    "Certificate",
    "Classifications",
    "Comparison",
    "CorruptionError",
    "DataLoss",
    "DatasetBusy",
    "DatasetInfo",
    "DatasetNotFound",
    "DatasetUnreadable",
    "DeadlineExceeded",
    "Direction",
    "Dossier",
    "Drive",
    "EpsilonCurve",
    "EpsilonSearch",
    "Exemplar",
    "Exemplars",
    "Facet",
    "Facets",
    "FailedPrecondition",
    "FilterAnalysis",
    "Filters",
    "Gate",
    "IndexNotFound",
    "IndexProgress",
    "IndexReport",
    "Internal",
    "InvalidArgument",
    "Layer",
    "LayerNotFound",
    "LayerPictures",
    "LayerStatistics",
    "LeftOutImage",
    "Like",
    "MeanCorruptionError",
    "Model",
    "ModelBusy",
    "ModelInfo",
    "ModelNotExportable",
    "ModelNotFound",
    "ModelNotLoadable",
    "NoReport",
    "NotDifferentiable",
    "NotExplainable",
    "NotFinite",
    "NotFound",
    "Objective",
    "Operation",
    "OperationNotFound",
    "OperationRunning",
    "OutOfMemory",
    "PermissionDenied",
    "Prediction",
    "Progress",
    "Provenance",
    "ProviderUnreachable",
    "QueueFull",
    "QuotaExceeded",
    "ReceptiveField",
    "ResourceExhausted",
    "RowFailure",
    "Sample",
    "Samples",
    "Service",
    "ShuttingDown",
    "Silence",
    "StorageFull",
    "StorageReadOnly",
    "StreamedImage",
    "StriateError",
    "StriateWarning",
    "TLSFailed",
    "TooManyCalls",
    "TooManyOperations",
    "Tuning",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unit",
    "UnitActivation",
    "UnitPicture",
    "UnitStatistics",
    "UnitTuning",
    "UploadTooLarge",
    "Visualization",
    "Visualizations",
    "connect",
    "host",
    "interpolate",
    "regularize",
    "space",
    "view",
]
__all__ += _methods.__all__


# imported when first used, so that `import striate` stays light: the module of each name, "" for
# what is a module itself
_LATE = {
    "Activations": "results.activations",
    "Appearance": "results.certificate",
    "Certificate": "results.certificate",
    "Direction": "objective",
    "Dossier": "results.dossier",
    "Facet": "results.facets",
    "Facets": "results.facets",
    "FilterAnalysis": "results.filters",
    "Filters": "results.filters",
    "LayerPictures": "results.layer_pictures",
    "Like": "objective",
    "Objective": "objective",
    "Progress": "results.visualization",
    "Tuning": "results.tuning",
    "Unit": "objective",
    "UnitActivation": "results.activations",
    "UnitPicture": "results.layer_pictures",
    "UnitTuning": "results.tuning",
    "Visualization": "results.visualization",
    "Visualizations": "results.visualization",
    "interpolate": "objective",
    "regularize": "",
    "space": "",
    "view": "",
}


def __getattr__(name: str) -> Any:
    """Imports what is first used now, and reads `__version__`, which would cost a tenth of the
    import.
    """
    if name == "__version__":
        from importlib.metadata import version

        return version("striate-client")
    if name in _LATE:
        from importlib import import_module

        found = import_module(f"{__name__}.{_LATE[name] or name}")
        return getattr(found, name) if _LATE[name] else found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
