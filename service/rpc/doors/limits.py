"""The limits of all strings and lists of requests: the one table, which the wire is checked
against before a message is parsed. A field that is missing here is refused by the tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from service.rpc.validation import MOST_NAME
from service.rpc.wire import attribution, filters, images, index_plan, share, tensors
from service.rpc.wire.pictures import objective, regularizers, transforms, visualize
from service.rpc.wire.robustness import attack, audit, audit_gates, uploads

LARGE = 64 * 2**20  # bytes of a message that may hold images or tensors
SMALL = 2**20  # bytes of any other
MOST_FIELDS = 2**17  # of a whole message, those of messages inside it included
_SYMBOL = 500  # characters of what reflection is asked for
_EXPRESSION = 500  # characters of a filter of a listing


@dataclass(frozen=True)
class Limit:
    """How much a field may hold.

    Attributes:
        items: elements of a list; None: it is none.
        characters: of a string, or of each of a list; None: it holds no text.
    """

    items: int | None = None
    characters: int | None = None


_NAME = Limit(characters=MOST_NAME)


def _list(items: int) -> Limit:
    return Limit(items=items)


def _names(items: int) -> Limit:
    return Limit(items=items, characters=MOST_NAME)


_MESSAGE = "striate.v1."
_OPERATION = "google.longrunning."
_REFLECTION = "grpc.reflection.v1alpha."

# What holds no list and no text has no entry: its length is its message's.
LIMITS: Mapping[str, Limit] = {
    # lists
    f"{_MESSAGE}ImageBatch.encoded": _list(images.MOST_IMAGES),
    f"{_MESSAGE}Tensor.shape": _list(tensors.MOST_EXTENTS),
    f"{_MESSAGE}VisualizeRequest.objectives": _names(visualize.MOST_PICTURES),
    f"{_MESSAGE}VisualizeRequest.composed": _list(visualize.MOST_PICTURES),
    f"{_MESSAGE}Objective.terms": _list(objective.MOST_TERMS),
    f"{_MESSAGE}PictureSettings.regularizers": _list(regularizers.MOST_REGULARIZERS),
    f"{_MESSAGE}PictureSettings.transforms": _list(transforms.MOST_TRANSFORMS),
    f"{_MESSAGE}MeasureTuningRequest.wavelengths": _list(filters.MOST_WAVELENGTHS),
    f"{_MESSAGE}AttributeRequest.classes": _list(attribution.MOST_IMAGES),
    f"{_MESSAGE}BuildExemplarIndexRequest.layers": _names(index_plan.MOST_LAYERS),
    f"{_MESSAGE}BuildExemplarIndexRequest.quantiles": _list(index_plan.MOST_QUANTILES),
    f"{_MESSAGE}LoadModelRequest.labels": _names(uploads.MOST_CLASSES),
    f"{_MESSAGE}AttackRequest.labels": _list(images.MOST_IMAGES),
    f"{_MESSAGE}AttackRequest.targets": _list(images.MOST_IMAGES),
    f"{_MESSAGE}EpsilonSearch.epsilons": _list(attack.MOST_EPSILONS),
    f"{_MESSAGE}RowSettings.epsilons": _list(images.MOST_IMAGES),
    f"{_MESSAGE}RowSettings.step_sizes": _list(images.MOST_IMAGES),
    f"{_MESSAGE}RowSettings.steps": _list(images.MOST_IMAGES),
    f"{_MESSAGE}RowSettings.seeds": _list(images.MOST_IMAGES),
    f"{_MESSAGE}AuditRequest.models": _names(audit.MOST_MODELS),
    f"{_MESSAGE}AuditRequest.threats": _list(audit.MOST_THREATS),
    f"{_MESSAGE}AuditRequest.attacks": _list(audit.MOST_ATTACKS),
    f"{_MESSAGE}AuditRequest.corruptions": _names(audit.MOST_CONDITIONS),
    f"{_MESSAGE}AuditRequest.augmentations": _names(audit.MOST_CONDITIONS),
    f"{_MESSAGE}AuditRequest.share": _names(share.MOST_SHARED),
    f"{_MESSAGE}BuildExemplarIndexRequest.share": _names(share.MOST_SHARED),
    f"{_MESSAGE}UploadDatasetRequest.share": _names(share.MOST_SHARED),
    f"{_MESSAGE}AuditRequest.severities": _list(audit.MOST_CONDITIONS),
    f"{_MESSAGE}AuditRequest.gates": _list(audit_gates.MOST_GATES),
    f"{_MESSAGE}ThreatModel.epsilons": _list(audit.MOST_EPSILONS),
    f"{_MESSAGE}UploadDatasetRequest.labels": _list(images.MOST_IMAGES),
    f"{_MESSAGE}UploadDatasetRequest.classes": _names(uploads.MOST_CLASSES),
    # texts
    f"{_MESSAGE}ListModelsRequest.page_token": _NAME,
    f"{_MESSAGE}GetUsageRequest.name": Limit(characters=301),
    f"{_MESSAGE}GetModelRequest.model": _NAME,
    f"{_MESSAGE}LoadModelRequest.model": _NAME,
    f"{_MESSAGE}LoadModelRequest.weights": _NAME,
    f"{_MESSAGE}UnloadModelRequest.model": _NAME,
    f"{_MESSAGE}ExportModelRequest.model": _NAME,
    f"{_MESSAGE}ClassifyRequest.model": _NAME,
    f"{_MESSAGE}VisualizeRequest.model": _NAME,
    f"{_MESSAGE}Term.unit": _NAME,
    f"{_MESSAGE}Direction.layer": _NAME,
    f"{_MESSAGE}Likeness.layer": _NAME,
    f"{_MESSAGE}Diversity.layer": _NAME,
    f"{_MESSAGE}Maco.dataset": _NAME,
    f"{_MESSAGE}Certification.dataset": _NAME,
    f"{_MESSAGE}VisualizeLayerRequest.model": _NAME,
    f"{_MESSAGE}VisualizeLayerRequest.layer": _NAME,
    f"{_MESSAGE}FindFacetsRequest.model": _NAME,
    f"{_MESSAGE}FindFacetsRequest.unit": _NAME,
    f"{_MESSAGE}FindFacetsRequest.dataset": _NAME,
    f"{_MESSAGE}FindFacetsRequest.by_layer": _NAME,
    f"{_MESSAGE}RenderFiltersRequest.model": _NAME,
    f"{_MESSAGE}RenderFiltersRequest.layer": _NAME,
    f"{_MESSAGE}MeasureTuningRequest.model": _NAME,
    f"{_MESSAGE}MeasureTuningRequest.layer": _NAME,
    f"{_MESSAGE}GetActivationsRequest.model": _NAME,
    f"{_MESSAGE}GetActivationsRequest.layer": _NAME,
    f"{_MESSAGE}AttributeRequest.model": _NAME,
    f"{_MESSAGE}AttributeRequest.unit": _NAME,
    f"{_MESSAGE}AttributeRequest.layer": _NAME,
    f"{_MESSAGE}CompileDossierRequest.model": _NAME,
    f"{_MESSAGE}CompileDossierRequest.unit": _NAME,
    f"{_MESSAGE}CompileDossierRequest.dataset": _NAME,
    f"{_MESSAGE}BuildExemplarIndexRequest.model": _NAME,
    f"{_MESSAGE}BuildExemplarIndexRequest.dataset": _NAME,
    f"{_MESSAGE}FindExemplarsRequest.model": _NAME,
    f"{_MESSAGE}FindExemplarsRequest.unit": _NAME,
    f"{_MESSAGE}FindExemplarsRequest.dataset": _NAME,
    f"{_MESSAGE}GetUnitStatisticsRequest.model": _NAME,
    f"{_MESSAGE}GetUnitStatisticsRequest.unit": _NAME,
    f"{_MESSAGE}GetUnitStatisticsRequest.dataset": _NAME,
    f"{_MESSAGE}ListDatasetsRequest.model": _NAME,
    f"{_MESSAGE}ListDatasetsRequest.page_token": _NAME,
    f"{_MESSAGE}DeleteDatasetRequest.dataset": _NAME,
    f"{_MESSAGE}ReadSamplesRequest.dataset": _NAME,
    f"{_MESSAGE}AttackRequest.model": _NAME,
    f"{_MESSAGE}UnitGoal.unit": _NAME,
    f"{_MESSAGE}AuditRequest.dataset": _NAME,
    f"{_MESSAGE}AuditRequest.mce_reference": _NAME,
    f"{_MESSAGE}Gate.model": _NAME,
    f"{_MESSAGE}ReadAuditReportRequest.operation": _NAME,
    # the standard services
    f"{_OPERATION}ListOperationsRequest.name": _NAME,
    f"{_OPERATION}ListOperationsRequest.filter": Limit(characters=_EXPRESSION),
    f"{_OPERATION}ListOperationsRequest.page_token": _NAME,
    f"{_OPERATION}GetOperationRequest.name": _NAME,
    f"{_OPERATION}DeleteOperationRequest.name": _NAME,
    f"{_OPERATION}CancelOperationRequest.name": _NAME,
    f"{_OPERATION}WaitOperationRequest.name": _NAME,
    "grpc.health.v1.HealthCheckRequest.service": _NAME,
    f"{_REFLECTION}ServerReflectionRequest.host": Limit(characters=_SYMBOL),
    f"{_REFLECTION}ServerReflectionRequest.file_by_filename": Limit(characters=_SYMBOL),
    f"{_REFLECTION}ServerReflectionRequest.file_containing_symbol": Limit(characters=_SYMBOL),
    f"{_REFLECTION}ServerReflectionRequest.all_extension_numbers_of_type": Limit(
        characters=_SYMBOL
    ),
    f"{_REFLECTION}ServerReflectionRequest.list_services": Limit(characters=_SYMBOL),
    f"{_REFLECTION}ExtensionRequest.containing_type": Limit(characters=_SYMBOL),
}


def fields_of(message: Descriptor) -> tuple[FieldDescriptor, ...]:
    """All fields of a message and of the messages inside it.

    Args:
        message: of a request.

    Returns:
        The fields, each once.
    """
    found: dict[str, FieldDescriptor] = {}
    waiting, seen = [message], {message.full_name}
    while waiting:
        for field in waiting.pop().fields:
            found[field.full_name] = field
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                seen.add(inner.full_name)
                waiting.append(inner)
    return tuple(found.values())


@cache
def most_bytes(message: Descriptor) -> int:
    """The most bytes of a request, on the wire.

    Args:
        message: its descriptor.

    Returns:
        `LARGE` for one that may hold images or tensors, `SMALL` for any other.
    """
    bulky = any(field.type == FieldDescriptor.TYPE_BYTES for field in fields_of(message))
    return LARGE if bulky else SMALL
