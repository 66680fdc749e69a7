"""The services of the fake server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc  # type: ignore[import-untyped, unused-ignore]
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from striate.v1 import (
    interpret_pb2,
    interpret_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    robustness_pb2_grpc,
    types_pb2,
)
from tests.client.fakes.fakes_attribution import Attributing
from tests.client.fakes.fakes_exemplars import Exhibiting
from tests.client.fakes.fakes_measuring import Measured
from tests.client.fakes.fakes_pictures import Picturing
from tests.client.fakes.fakes_robustness import Robustness
from tests.client.fakes.fakes_server import (
    CLASSES,
    DATASET_SIZE,
    DIGEST,
    SHAPE,
    Fake,
    Seen,
    failed,
    failure,
    favourite,
    png,
    reason,
    request_id,
    rows_of,
)


class _Recorder(grpc.ServerInterceptor):
    def __init__(self, fake: Fake) -> None:
        self.fake = fake

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        metadata = dict(details.invocation_metadata)
        if "x-request-id" not in metadata:  # a connection's first contact is nobody's request
            return handler

        def before(request: Any, context: grpc.ServicerContext) -> None:
            self.fake.calls.append(Seen(details.method.rpartition("/")[2], request, metadata))
            if self.fake.failures:
                self.fake.failures.popleft()(context)
            self.fake.on_call(details.method, context)
            context.set_trailing_metadata((("x-striate-version", self.fake.version),))

        def unary(request: Any, context: grpc.ServicerContext) -> Any:
            before(request, context)
            return call(request, context)

        def stream(request: Any, context: grpc.ServicerContext) -> Any:
            before(request, context)
            yield from call(request, context)

        kind = (
            "stream" if handler.request_streaming else "unary",
            "stream" if handler.response_streaming else "unary",
        )
        call = getattr(handler, "_".join(kind))
        wrap = getattr(grpc, f"{'_'.join(kind)}_rpc_method_handler")
        return wrap(
            stream if handler.response_streaming else unary,
            handler.request_deserializer,
            handler.response_serializer,
        )


class _Models(model_pb2_grpc.ModelServiceServicer):
    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    def ListModels(
        self, request: model_pb2.ListModelsRequest, context: Any
    ) -> model_pb2.ListModelsResponse:
        models = [tiny()]
        if request.include_available:
            models.append(
                model_pb2.ModelInfo(
                    name="resnet18", state=model_pb2.MODEL_STATE_AVAILABLE, architecture="resnet18"
                )
            )
        return model_pb2.ListModelsResponse(models=models)

    def GetModel(
        self, request: model_pb2.GetModelRequest, context: grpc.ServicerContext
    ) -> model_pb2.GetModelResponse:
        if request.model != "tiny":
            failure(
                grpc.StatusCode.NOT_FOUND,
                "no model is called so; nearest: tiny",
                reason("MODEL_NOT_FOUND"),
            )(context)
        conv = model_pb2.Layer(
            name="stem",
            type="Conv2d",
            kernel=[3, 3],
            stride=[1, 1],
            padding=[1, 1],
            output_shape=[5, 4, 5],
        )
        conv.receptive_field.CopyFrom(
            model_pb2.ReceptiveField(
                height=3, width=3, jump_y=1, jump_x=1, offset_y=-1, offset_x=-1, bottom=4, right=5
            )
        )
        head = model_pb2.Layer(
            name="head", type="Linear", output_shape=[4], parameters=164, multiply_adds=160
        )
        return model_pb2.GetModelResponse(model=tiny(), layers=[conv, head])

    def LoadModel(
        self, request: model_pb2.LoadModelRequest, context: Any
    ) -> model_pb2.LoadModelResponse:
        return model_pb2.LoadModelResponse(model=tiny())

    def UnloadModel(
        self, request: model_pb2.UnloadModelRequest, context: Any
    ) -> model_pb2.UnloadModelResponse:
        return model_pb2.UnloadModelResponse(freed_bytes=880)

    def ExportModel(
        self, request: model_pb2.ExportModelRequest, context: Any
    ) -> Iterator[model_pb2.ExportModelResponse]:
        yield from (model_pb2.ExportModelResponse(data=data) for data in (b"a bun", b"dle"))
        digest = hashlib.sha256(self._fake.exported).hexdigest()
        yield model_pb2.ExportModelResponse(sha256=digest)


def tiny() -> model_pb2.ModelInfo:
    return model_pb2.ModelInfo(
        name="tiny",
        state=model_pb2.MODEL_STATE_SERVING,
        architecture="tiny",
        weights="random",
        digest=DIGEST,
        input_channels=SHAPE[0],
        input_height=SHAPE[1],
        input_width=SHAPE[2],
        mean=[0.5],
        std=[0.25],
        resize=4,
        interpolation="bilinear",
        classes=CLASSES,
        parameters=220,
        memory_bytes=880,
    )


class _Interpret(
    Attributing, Picturing, Exhibiting, Measured, interpret_pb2_grpc.InterpretServiceServicer
):
    def __init__(self, fake: Fake) -> None:
        self.fake = fake

    def Classify(
        self, request: interpret_pb2.ClassifyRequest, context: Any
    ) -> interpret_pb2.ClassifyResponse:
        found = []
        for image in rows_of(request.images):
            order = [
                (favourite(image) + place) % len(CLASSES)
                for place in range(min(request.k, len(CLASSES)))
            ]
            predictions = [
                interpret_pb2.Prediction(index=i, label=CLASSES[i], probability=0.5 / (n + 1))
                for n, i in enumerate(order)
            ]
            found.append(interpret_pb2.Classification(predictions=predictions))
        return interpret_pb2.ClassifyResponse(
            images=found, provenance=self.fake.provenance(request_id(context))
        )

    def ListDatasets(
        self, request: interpret_pb2.ListDatasetsRequest, context: Any
    ) -> interpret_pb2.ListDatasetsResponse:
        digits = interpret_pb2.Dataset(
            name="digits", uri="digits", size=DATASET_SIZE, classes=["cat", "dog"], labelled=True
        )
        gone = interpret_pb2.Dataset(
            name="gone", uri="imagefolder:/gone", error="'/gone' is not a folder"
        )
        if request.model:
            digits.class_indices.extend([0, -1])
            digits.indexed_layers.append("stem")
        both = (digits, gone)  # a page each
        place = int(request.page_token or "0")
        return interpret_pb2.ListDatasetsResponse(
            datasets=both[place : place + 1], next_page_token="" if place else "1"
        )

    def DeleteDataset(
        self, request: interpret_pb2.DeleteDatasetRequest, context: Any
    ) -> interpret_pb2.DeleteDatasetResponse:
        return interpret_pb2.DeleteDatasetResponse(freed_bytes=3 * 2**20)

    def ReadSamples(
        self, request: interpret_pb2.ReadSamplesRequest, context: Any
    ) -> interpret_pb2.ReadSamplesResponse:
        count = min(request.count, self.fake.samples_a_message)
        asked = range(request.first, min(request.first + count, DATASET_SIZE))
        bad = self.fake.bad_samples if request.skip_bad else set[int]()
        ids = [number for number in asked if number not in bad]
        left_out = [number for number in asked if number in bad]
        return interpret_pb2.ReadSamplesResponse(
            samples=[
                interpret_pb2.Sample(
                    id=i, name=f"{i}.png", image=png(4, 5, i), label=i % 2 if i else None
                )
                for i in ids
            ],
            left_out=[
                types_pb2.LeftOutImage(id=i, name=f"n{i}", reason="is none") for i in left_out
            ],
        )


class _Operations(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc, unused-ignore]
    def __init__(self, fake: Fake) -> None:
        self.fake = fake

    def _find(self, name: str, context: grpc.ServicerContext) -> Any:
        if name not in self.fake.operations:
            failure(
                grpc.StatusCode.NOT_FOUND, f"no operation {name}", reason("OPERATION_NOT_FOUND")
            )(context)
        return self.fake.operations[name]

    def GetOperation(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._find(request.name, context)

    def WaitOperation(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self.fake.operation_script:
            self.fake.operations[request.name] = self.fake.operation_script.popleft()
        return self._find(request.name, context)

    def ListOperations(self, request: Any, context: grpc.ServicerContext) -> Any:
        names = sorted(self.fake.operations)
        place = int(request.page_token or 0)
        following = str(place + 1) if place + 1 < len(names) else ""
        return operations_pb2.ListOperationsResponse(
            operations=[self.fake.operations[name] for name in names[place : place + 1]],
            next_page_token=following,
        )

    def CancelOperation(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._find(request.name, context)
        self.fake.operations[request.name] = failed(
            request.name, grpc.StatusCode.CANCELLED, "cancelled by request"
        )
        return empty_pb2.Empty()

    def DeleteOperation(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._find(request.name, context)
        del self.fake.operations[request.name]
        return empty_pb2.Empty()


class _Health(health_pb2_grpc.HealthServicer):
    def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        states = {
            "": "SERVING",
            "striate.readiness": "NOT_SERVING",
            "tiny": "SERVING",
            "x" * 200: "NOT_SERVING",
        }
        if request.service not in states:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return health_pb2.HealthCheckResponse(
            status=health_pb2.HealthCheckResponse.ServingStatus.Value(states[request.service])
        )


def serve(fake: Fake) -> grpc.Server:
    """Starts the server on a free port of the loopback interface and notes it in `fake.target`."""
    limits = (
        ("grpc.max_receive_message_length", 64 * 2**20),
        ("grpc.max_send_message_length", 64 * 2**20),
    )
    server = grpc.server(
        futures.ThreadPoolExecutor(8), interceptors=[_Recorder(fake)], options=limits
    )
    model_pb2_grpc.add_ModelServiceServicer_to_server(_Models(fake), server)
    interpret_pb2_grpc.add_InterpretServiceServicer_to_server(_Interpret(fake), server)
    robustness_pb2_grpc.add_RobustnessServiceServicer_to_server(Robustness(fake), server)
    operations_pb2_grpc.add_OperationsServicer_to_server(_Operations(fake), server)
    health_pb2_grpc.add_HealthServicer_to_server(_Health(), server)
    fake.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    return server
