"""ModelService: which models there are, and loading and unloading them."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from service.auth.identity import current
from service.auth.usage import Meter, require
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.context import Context
from service.rpc.paging import page
from service.rpc.validation import required
from service.rpc.wire import models as wire_models
from service.threads import in_daemon_thread
from striate.v1 import model_pb2

T = TypeVar("T")
OnChange = Callable[[str], Awaitable[None]]  # (name)


class ModelHandler:
    """Answers ListModels, GetModel, LoadModel and UnloadModel.

    Args:
        zoo: the models.
        on_change: told of models that may have begun or ceased to serve.
        meter: of what callers use.
    """

    def __init__(self, zoo: ModelZoo, on_change: OnChange, meter: Meter | None = None) -> None:
        self._zoo, self._on_change = zoo, on_change
        self._meter = meter or Meter()
        self._changes: set[asyncio.Task[Any]] = set()  # the loop itself holds its tasks but weakly

    async def list_models(
        self, request: model_pb2.ListModelsRequest, context: Context
    ) -> model_pb2.ListModelsResponse:
        """List loaded models with their details, and those that are loading or available by name
        and state.
        """
        loaded = {model.name: model for model in self._zoo.loaded()}
        loading = set(self._zoo.loading())
        available = self._zoo.available() if request.include_available else ()

        def describe(name: str) -> model_pb2.ModelInfo:
            if name in loaded:
                return wire_models.model_info(loaded[name])
            state = (
                model_pb2.MODEL_STATE_LOADING
                if name in loading
                else model_pb2.MODEL_STATE_AVAILABLE
            )
            return model_pb2.ModelInfo(name=name, state=state)

        names = sorted({*loaded, *loading, *available})
        found, token = page(names, request.page_size, request.page_token, describe)
        return model_pb2.ListModelsResponse(models=found, next_page_token=token)

    async def get_model(
        self, request: model_pb2.GetModelRequest, context: Context
    ) -> model_pb2.GetModelResponse:
        """Describe a model and its layers."""
        with self._zoo.use(required("model", request.model)) as model:
            layers = [wire_models.layer_message(info) for info in model.layers]
            return model_pb2.GetModelResponse(model=wire_models.model_info(model), layers=layers)

    async def load_model(
        self, request: model_pb2.LoadModelRequest, context: Context
    ) -> model_pb2.LoadModelResponse:
        """Load a model in a thread: reading, hashing and warming up take seconds, and a download
        may hang.
        """
        by = current.get()
        require(by, "loaded_models", self._meter.loaded_by(by.name, self._names()))
        name, labels = required("model", request.model), wire_models.labels(request)
        model = await self._uncancelled(self._load(name, request.weights, labels))
        return model_pb2.LoadModelResponse(model=wire_models.model_info(model))

    def _names(self) -> set[str]:
        return {model.name for model in self._zoo.loaded()}

    async def unload_model(
        self, request: model_pb2.UnloadModelRequest, context: Context
    ) -> model_pb2.UnloadModelResponse:
        """Unload a model; refused while jobs use it."""
        freed = await self._uncancelled(self._unload(required("model", request.model)))
        return model_pb2.UnloadModelResponse(freed_bytes=freed)

    async def _load(self, name: str, weights: str, labels: tuple[str, ...]) -> HostedModel:
        serving = name in self._names()
        model = await in_daemon_thread(self._zoo.load, name, weights, labels)
        if not serving:
            self._meter.loaded(model.name, current.get().name)
        await self._on_change(model.name)
        return model

    async def _unload(self, name: str) -> int:
        freed = await in_daemon_thread(self._zoo.unload, name)
        await self._on_change(name)
        return freed

    async def _uncancelled(self, change: Coroutine[Any, Any, T]) -> T:
        """Await a change that goes on when the call is cancelled: its thread does, and `on_change`
        has to hear of it.
        """
        task = asyncio.create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._changes.discard(task)
        if not task.cancelled():
            task.exception()  # one that nobody waits for any more is not logged as forgotten
