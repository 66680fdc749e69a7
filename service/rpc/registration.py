"""Which handler answers which method of the contract: the one table, and how a server gets it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from service.datasets import Datasets
from service.index.store import IndexStore
from service.models.zoo import ModelZoo
from service.operations import Operations
from service.rpc.compute import Compute
from service.rpc.handlers.activations import ActivationHandler
from service.rpc.handlers.attack import AttackHandler
from service.rpc.handlers.attack_stream import AttackStreamHandler
from service.rpc.handlers.attribution import AttributionHandler
from service.rpc.handlers.audit import AuditHandler
from service.rpc.handlers.classify import ClassifyHandler
from service.rpc.handlers.datasets import DatasetHandler
from service.rpc.handlers.exemplars import ExemplarHandler
from service.rpc.handlers.export import ExportHandler
from service.rpc.handlers.filters import FilterHandler
from service.rpc.handlers.index_build import IndexBuildHandler
from service.rpc.handlers.index_reader import IndexReader
from service.rpc.handlers.models import ModelHandler, OnChange
from service.rpc.handlers.pictures.dossier import DossierHandler
from service.rpc.handlers.pictures.facet_finder import FacetFinder
from service.rpc.handlers.pictures.facets import FacetHandler
from service.rpc.handlers.pictures.planner import PicturePlanner
from service.rpc.handlers.pictures.visualize import VisualizeHandler
from service.rpc.handlers.pictures.visualize_layer import VisualizeLayerHandler
from service.rpc.handlers.tuning import TuningHandler
from service.rpc.handlers.uploads import UploadHandler
from service.rpc.handlers.usage import UsageHandler
from service.state import DiskSpace, Quarantine
from service.visualization.cache import PictureCache
from service.visualization.layer_stream import LayerStream
from service.visualization.spectra import SpectrumStore
from striate.v1 import interpret_pb2, model_pb2, robustness_pb2, usage_pb2

MODEL: ServiceDescriptor = model_pb2.DESCRIPTOR.services_by_name["ModelService"]
INTERPRET: ServiceDescriptor = interpret_pb2.DESCRIPTOR.services_by_name["InterpretService"]
ROBUSTNESS: ServiceDescriptor = robustness_pb2.DESCRIPTOR.services_by_name["RobustnessService"]
USAGE: ServiceDescriptor = usage_pb2.DESCRIPTOR.services_by_name["UsageService"]
SERVICES = (MODEL, INTERPRET, ROBUSTNESS, USAGE)

Method = Callable[..., Any]  # (request or requests, context) -> the response, or responses
Methods = Mapping[str, Method]  # by the method's name in the contract

_KINDS = {  # by whether the client and the server stream
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


@dataclass(frozen=True)
class Resources:
    """What the handlers are made from.

    Attributes:
        state: folder in which the server keeps what should outlive it.
        picture_cache_bytes: how much of the disk pictures of whole layers may take.
        on_model_change: told of models that may have begun or ceased to serve.
        quarantine: where damaged files go.
        space: of the state folder's disk.
    """

    zoo: ModelZoo
    compute: Compute
    datasets: Datasets
    index: IndexStore
    operations: Operations
    state: Path
    picture_cache_bytes: int
    on_model_change: OnChange
    quarantine: Quarantine
    space: DiskSpace


def model_methods(given: Resources) -> Methods:
    """Put together what answers ModelService.

    Args:
        given: what the handlers share.

    Returns:
        The handlers' methods by their names in the contract.
    """
    models = ModelHandler(given.zoo, given.on_model_change, given.compute.meter)
    return {
        "ListModels": models.list_models,
        "GetModel": models.get_model,
        "LoadModel": models.load_model,
        "UnloadModel": models.unload_model,
        "ExportModel": ExportHandler(
            given.zoo, given.compute, given.state, given.space
        ).export_model,
    }


def interpret_methods(given: Resources) -> Methods:
    """Put together what answers InterpretService.

    Args:
        given: what the handlers share.

    Returns:
        The handlers' methods by their names in the contract.
    """
    zoo, compute, datasets, index = given.zoo, given.compute, given.datasets, given.index
    spectra = SpectrumStore(given.state / "spectra")
    planner = PicturePlanner(compute, datasets, index, spectra)
    cache = PictureCache(
        given.state / "pictures", given.picture_cache_bytes, given.space, given.quarantine
    )
    stream = LayerStream(cache, compute.run_in_pool)
    finder = FacetFinder(compute, datasets, index, planner)
    reader = IndexReader(compute, index)
    dossiers = DossierHandler(zoo, compute, datasets, reader, planner, finder)
    builds = IndexBuildHandler(zoo, compute, datasets, index, given.operations)
    exemplars = ExemplarHandler(zoo, datasets, reader)
    listing = DatasetHandler(zoo, compute, datasets, index, given.operations)
    return {
        "Classify": ClassifyHandler(zoo, compute).classify,
        "Visualize": VisualizeHandler(zoo, compute, planner).visualize,
        "VisualizeLayer": VisualizeLayerHandler(zoo, compute, planner, stream).visualize_layer,
        "FindFacets": FacetHandler(zoo, finder).find_facets,
        "RenderFilters": FilterHandler(zoo, compute).render_filters,
        "MeasureTuning": TuningHandler(zoo, compute).measure_tuning,
        "GetActivations": ActivationHandler(zoo, compute).get_activations,
        "Attribute": AttributionHandler(zoo, compute).attribute,
        "CompileDossier": dossiers.compile_dossier,
        "BuildExemplarIndex": builds.build_exemplar_index,
        "FindExemplars": exemplars.find_exemplars,
        "GetUnitStatistics": exemplars.get_unit_statistics,
        "ListDatasets": listing.list_datasets,
        "DeleteDataset": listing.delete_dataset,
        "ReadSamples": listing.read_samples,
    }


def robustness_methods(given: Resources) -> Methods:
    """Put together what answers RobustnessService.

    Args:
        given: what the handlers share.

    Returns:
        The handlers' methods by their names in the contract.
    """
    zoo, compute, datasets = given.zoo, given.compute, given.datasets
    audits = AuditHandler(
        zoo, compute, datasets, given.operations, given.state / "audits", given.quarantine
    )
    return {
        "Attack": AttackHandler(zoo, compute).attack,
        "AttackStream": AttackStreamHandler(zoo, compute).attack_stream,
        "Audit": audits.audit,
        "ReadAuditReport": audits.read_audit_report,
        "UploadDataset": UploadHandler(compute, datasets).upload_dataset,
    }


def usage_methods(given: Resources) -> Methods:
    """Put together what answers UsageService.

    Args:
        given: what the handlers share.

    Returns:
        The handlers' methods by their names in the contract.
    """
    usage = UsageHandler(given.zoo, given.compute, given.operations, given.datasets)
    return {"GetUsage": usage.get_usage}


# The table: what makes the methods of each service.
TABLE: Mapping[ServiceDescriptor, Callable[[Resources], Methods]] = {
    MODEL: model_methods,
    INTERPRET: interpret_methods,
    ROBUSTNESS: robustness_methods,
    USAGE: usage_methods,
}


def register_services(server: grpc.aio.Server, given: Resources) -> None:
    """Make all handlers, and have a server answer with them.

    Args:
        server: not yet started.
        given: what the handlers share.
    """
    for service, make in TABLE.items():
        handlers = method_handlers(service, make(given))
        generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
        server.add_generic_rpc_handlers((generic,))


def method_handlers(
    service: ServiceDescriptor, methods: Methods
) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
    """Wrap methods as gRPC wants them: with the kind and the messages that the contract says.

    Args:
        service: of the contract.
        methods: by their names in the contract, every one of the service.

    Returns:
        gRPC's handlers by method name.

    Raises:
        ValueError: a method of the service is missing, or is none of the service's.
    """
    wrong = methods.keys() ^ service.methods_by_name.keys()
    if wrong:
        raise ValueError(f"{service.full_name}: {', '.join(sorted(wrong))} missing or unknown")
    return {name: _handler(service.methods_by_name[name], call) for name, call in methods.items()}


def _handler(method: MethodDescriptor, call: Method) -> "grpc.RpcMethodHandler[Any, Any]":
    make = _KINDS[method.client_streaming, method.server_streaming]
    return make(  # type: ignore[no-any-return, unused-ignore]
        call,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )
