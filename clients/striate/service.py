"""The way in: connect() and the service behind it; its audits are in `auditing`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import grpc
from google.protobuf import wrappers_pb2

from striate._api.audits import Auditing
from striate._api.operation import Operation, Operations
from striate._rpc.caller import Caller
from striate._rpc.checks import at_least, number
from striate.errors import NotFound
from striate.model import Model
from striate.results.datasets import DatasetInfo, Sample
from striate.results.models import ModelInfo
from striate.v1 import (
    exemplars_pb2,
    interpret_pb2,
    interpret_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    robustness_pb2_grpc,
)

_SAMPLES_A_CALL = (
    1024  # the most that a server takes; it answers fewer where they would not fit into one message
)
_HEALTH = (
    "UNKNOWN",
    "SERVING",
    "NOT_SERVING",
    "SERVICE_UNKNOWN",
)  # grpc.health.v1's states by number


def connect(
    target: str,
    *,
    timeout: float | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    metadata: Sequence[tuple[str, str]] = (),
) -> Service:
    """Opens a connection to a server; use it as a context manager, or close it.

    target: "host:port"; timeout: seconds that each call may take unless it says otherwise, None for
    no limit; credentials: for TLS, None for plain text; metadata: (key, value) pairs sent with
    every call. The server is first contacted by the first call; calls that find it unavailable or
    its queue full are retried for a moment. Raises InvalidArgument.
    """
    return Service(Caller(target, timeout, credentials, metadata))


class Service(Auditing):
    """A connection to a server. Safe to share among threads; other processes, such as a data
    loader's workers, open their own.

    Every call takes `timeout` in seconds (None: the connection's), raises a StriateError, and on
    Ctrl-C is cancelled on the server too.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._models = model_pb2_grpc.ModelServiceStub(caller.channel)
        self._interpret = interpret_pb2_grpc.InterpretServiceStub(caller.channel)
        self._robustness = robustness_pb2_grpc.RobustnessServiceStub(caller.channel)
        self._operations = Operations(caller)
        # HealthCheckRequest has one string and HealthCheckResponse one enum, each as field 1: on
        # the wire they are these wrappers.
        self._health: grpc.UnaryUnaryMultiCallable[
            wrappers_pb2.StringValue, wrappers_pb2.UInt32Value
        ] = caller.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=wrappers_pb2.StringValue.SerializeToString,
            response_deserializer=wrappers_pb2.UInt32Value.FromString,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Service({self._caller.target!r})"

    def close(self) -> None:
        """Cancels what runs and drops the connection. Operations go on."""
        self._caller.close()

    def models(
        self, include_available: bool = False, *, timeout: float | None = None
    ) -> list[ModelInfo]:
        """The loaded models, in name order; with include_available also those that `load` knows by
        name.
        """
        request = model_pb2.ListModelsRequest(include_available=include_available)
        return [
            ModelInfo.read(model)
            for model in self._caller.unary(self._models.ListModels, request, timeout).models
        ]

    def model(self, name: str, *, timeout: float | None = None) -> Model:
        """A handle on a loaded model. Raises ModelNotFound, with the nearest names."""
        response = self._caller.unary(
            self._models.GetModel, model_pb2.GetModelRequest(model=name), timeout
        )
        return Model(self._caller, response)

    def load(self, name: str, weights: str = "", *, timeout: float | None = None) -> Model:
        """Loads a model, or finds it loaded, and returns the handle.

        weights: "" for the settings' or the published ones, "random", or a member of torchvision's
        Weights enum. Raises ModelNotFound.
        """
        deadline = self._caller.deadline(timeout)
        request = model_pb2.LoadModelRequest(model=name, weights=weights)
        self._caller.unary(self._models.LoadModel, request, deadline.remaining())
        return self.model(name, timeout=deadline.remaining())

    def unload(self, name: str, *, timeout: float | None = None) -> int:
        """Frees a model's memory and returns the bytes given back. Raises ModelBusy while jobs use
        it, ModelNotFound.
        """
        return self._caller.unary(
            self._models.UnloadModel, model_pb2.UnloadModelRequest(model=name), timeout
        ).freed_bytes

    def datasets(
        self, model: str | None = None, *, timeout: float | None = None
    ) -> list[DatasetInfo]:
        """The data sets of the server; with a model, their labels mapped to its classes and the
        layers with an exemplar index.
        """
        request = interpret_pb2.ListDatasetsRequest(model=model or "")
        return [
            DatasetInfo.read(dataset)
            for dataset in self._caller.unary(
                self._interpret.ListDatasets, request, timeout
            ).datasets
        ]

    def samples(
        self, dataset: str, first: int = 0, count: int = 16, *, timeout: float | None = None
    ) -> list[Sample]:
        """Up to `count` consecutive images of a data set from position `first`; fewer at its end.
        They can be passed on as images.
        """
        at_least(0, first=first)
        at_least(1, count=count)
        deadline, samples = self._caller.deadline(timeout), list[Sample]()
        while len(samples) < count:
            wanted = min(_SAMPLES_A_CALL, count - len(samples))
            request = interpret_pb2.ReadSamplesRequest(
                dataset=dataset, first=first + len(samples), count=wanted
            )
            found = self._caller.unary(
                self._interpret.ReadSamples, request, deadline.remaining()
            ).samples
            if not found:
                break
            samples += map(Sample.read, found)
        return samples

    def build_index(
        self,
        model: str,
        dataset: str,
        layers: Sequence[str],
        k: int = 9,
        limit: int = 0,
        *,
        class_k: int | None = None,
        shard_images: int | None = None,
        quantiles: Sequence[float] | None = None,
        timeout: float | None = None,
    ) -> Operation:
        """Starts to find, in one pass over a data set, the images that `Model.exemplars` and the
        numbers that `Model.statistics` tells of every unit of the layers; `.wait()` for the result.

        k: images kept a unit and order, 1 to 100; limit: read only the first so many images, 0 for
        all; class_k: images kept a unit and class, 0 to 100, None for k, or 1 if there are more
        than 100 classes; shard_images: images after which what was found is saved, 64 to 65536,
        None for 4096; quantiles: up to 32 shares of the images from 0 to 1 whose images are kept,
        None for nine from 0.01 to 0.99. Raises ModelNotFound, DatasetNotFound, LayerNotFound.
        """
        at_least(1, k=k, shard_images=shard_images)
        at_least(0, limit=limit, class_k=class_k)
        names = [layers] if isinstance(layers, str) else layers
        shares = [
            number(f"quantiles[{place}]", share, most=1.0)
            for place, share in enumerate(quantiles or ())
        ]
        request = exemplars_pb2.BuildExemplarIndexRequest(
            model=model,
            dataset=dataset,
            layers=names,
            k=k,
            limit=limit,
            class_k=class_k,
            shard_images=shard_images or 0,
            quantiles=shares,
        )
        return Operation(
            self._operations,
            self._caller.unary(self._interpret.BuildExemplarIndex, request, timeout),
        )

    def operations(self, *, timeout: float | None = None) -> list[Operation]:
        """The operations that the server remembers."""
        return [Operation(self._operations, state) for state in self._operations.list(timeout)]

    def operation(self, name: str, *, timeout: float | None = None) -> Operation:
        """The operation of that name, also one of an earlier connection. Raises
        OperationNotFound.
        """
        return Operation(self._operations, self._operations.get(name, timeout))

    def health(self, model: str | None = None, *, timeout: float | None = None) -> str:
        """ "SERVING", "NOT_SERVING", "UNKNOWN" or "SERVICE_UNKNOWN" (no such model), of the server
        or of one model.
        """
        try:
            state = self._caller.unary(
                self._health, wrappers_pb2.StringValue(value=model or ""), timeout
            ).value
        except NotFound:
            return "SERVICE_UNKNOWN"
        return _HEALTH[state] if state < len(_HEALTH) else "UNKNOWN"

    @property
    def version(self) -> str:
        """The server's version, e.g. "0.1.0"; empty if it does not tell."""
        if not self._caller.server_version:
            self.health()
        return self._caller.server_version
