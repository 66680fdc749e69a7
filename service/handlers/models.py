"""ModelService."""

import asyncio
from collections.abc import Awaitable, Callable

from service import wire
from service.handlers.base import House
from service.manners import Context
from striate.v1 import model_pb2, model_pb2_grpc

OnChange = Callable[[str, bool], Awaitable[None]]  # (name, whether it serves)


class ModelHandlers(model_pb2_grpc.ModelServiceServicer):
    """ListModels, GetModel, LoadModel, UnloadModel; `on_change` is told of models that begin and cease to serve."""

    def __init__(self, house: House, on_change: OnChange) -> None:
        self._house, self._on_change = house, on_change

    async def ListModels(self, request: model_pb2.ListModelsRequest, context: Context) -> model_pb2.ListModelsResponse:
        """Loaded models with their details; those that are loading or available by name and state."""
        zoo = self._house.zoo
        models = {model.name: wire.model_info(model) for model in zoo.loaded()}
        for name in zoo.loading():
            models.setdefault(name, model_pb2.ModelInfo(name=name, state=model_pb2.MODEL_STATE_LOADING))
        if request.include_available:
            for name in zoo.available():
                models.setdefault(name, model_pb2.ModelInfo(name=name, state=model_pb2.MODEL_STATE_AVAILABLE))
        return model_pb2.ListModelsResponse(models=[models[name] for name in sorted(models)])

    async def GetModel(self, request: model_pb2.GetModelRequest, context: Context) -> model_pb2.GetModelResponse:
        """The model and its layers."""
        with self._house.model(request.model) as model:
            layers = [wire.layer(info) for info in model.layers]
            return model_pb2.GetModelResponse(model=wire.model_info(model), layers=layers)

    async def LoadModel(self, request: model_pb2.LoadModelRequest, context: Context) -> model_pb2.LoadModelResponse:
        """Loads in a thread: reading, hashing and warming up take seconds."""
        name = wire.required("model", request.model)
        model = await asyncio.to_thread(self._house.zoo.load, name, request.weights)
        await self._on_change(name, True)
        return model_pb2.LoadModelResponse(model=wire.model_info(model))

    async def UnloadModel(self, request: model_pb2.UnloadModelRequest, context: Context) -> model_pb2.UnloadModelResponse:
        """Refused while jobs use the model."""
        name = wire.required("model", request.model)
        freed = await asyncio.to_thread(self._house.zoo.unload, name)
        await self._on_change(name, False)
        return model_pb2.UnloadModelResponse(freed_bytes=freed)
