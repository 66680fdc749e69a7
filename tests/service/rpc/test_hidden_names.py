"""A model or data set that a caller may not name is, in every request that can name one, as one
that does not exist: requests are walked by their descriptors, so that a new field is tried too.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock, call

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from service.auth.identity import Identity, Role, acting_as
from service.rpc.doors.limits import fields_of
from service.rpc.errors import status_of
from service.rpc.health import HealthService
from service.rpc.registration import SERVICES
from striate.v1 import (
    attack_pb2,
    attribution_pb2,
    audit_pb2,
    dossier_pb2,
    exemplars_pb2,
    filters_pb2,
    interpret_pb2,
    model_pb2,
    types_pb2,
    visualize_pb2,
)
from tests.service.rpc.toys_studio import CALL, NAME, Studio, run, studio

MODEL_FIELDS, DATASET_FIELDS = {"model", "models", "mce_reference"}, {"dataset"}
HIDDEN = {**dict.fromkeys(MODEL_FIELDS, "resnet18"), **dict.fromkeys(DATASET_FIELDS, "secret-set")}
NOWHERE = "quaggas7"  # like no name at all, so that none is hinted at
# An admin, who may do all that the roles allow; of models and data sets only some.
ANN = Identity("ann", Role.ADMIN, models=("digits-*",), datasets=("digits",))

UNIT, LAYER = "c3:1", "c3"
IMAGES = types_pb2.ImageBatch(
    tensor=types_pb2.Tensor(
        dtype=types_pb2.DATA_TYPE_UINT8, shape=[1, 1, 32, 32], data=bytes(32 * 32)
    )
)
FGSM = attack_pb2.AttackMethod(fgsm=attack_pb2.Fgsm())
SETTINGS = visualize_pb2.PictureSettings(steps=1)
ATTACK = attack_pb2.AttackRequest(model=NAME, images=IMAGES, labels=[1], method=FGSM, epsilon=0.1)
# Requests that this caller may make, by their kind.
BASE: Mapping[str, Message] = {
    type(request).DESCRIPTOR.full_name: request
    for request in (
        model_pb2.GetModelRequest(model=NAME),
        model_pb2.LoadModelRequest(model=NAME),
        model_pb2.UnloadModelRequest(model=NAME),
        model_pb2.ExportModelRequest(model=NAME),
        interpret_pb2.ClassifyRequest(model=NAME, images=IMAGES),
        interpret_pb2.ListDatasetsRequest(model=NAME),
        interpret_pb2.DeleteDatasetRequest(dataset="digits"),
        interpret_pb2.ReadSamplesRequest(dataset="digits"),
        visualize_pb2.VisualizeRequest(model=NAME, objectives=[UNIT], settings=SETTINGS),
        visualize_pb2.VisualizeLayerRequest(model=NAME, layer=LAYER, settings=SETTINGS),
        visualize_pb2.FindFacetsRequest(
            model=NAME, unit=UNIT, dataset="digits", settings=SETTINGS, exemplars=2
        ),
        filters_pb2.RenderFiltersRequest(model=NAME),
        filters_pb2.MeasureTuningRequest(model=NAME),
        filters_pb2.GetActivationsRequest(model=NAME, image=IMAGES, layer=LAYER),
        attribution_pb2.AttributeRequest(
            model=NAME,
            images=IMAGES,
            method=attribution_pb2.ATTRIBUTION_METHOD_SALIENCY,
        ),
        dossier_pb2.CompileDossierRequest(
            model=NAME, unit=UNIT, dataset="digits", settings=SETTINGS
        ),
        exemplars_pb2.BuildExemplarIndexRequest(
            model=NAME, dataset="digits", layers=[LAYER], k=9, limit=32
        ),
        exemplars_pb2.FindExemplarsRequest(model=NAME, unit=UNIT, dataset="digits"),
        exemplars_pb2.GetUnitStatisticsRequest(model=NAME, unit=UNIT, dataset="digits"),
        ATTACK,
        attack_pb2.AttackStreamRequest(
            settings=attack_pb2.AttackStreamSettings(
                attack=attack_pb2.AttackRequest(model=NAME, method=FGSM, epsilon=0.1)
            )
        ),
        audit_pb2.AuditRequest(models=[NAME], dataset="digits", limit=8, corruptions=["fog"]),
    )
}
INNER: Mapping[str, Message] = {"striate.v1.Gate": audit_pb2.Gate(bar=0.5)}
# A gate's model is one of the audit's own, and facets are not made by MACO: both are refused before
# a name is looked for.
NOT_LOOKED_FOR = {
    ("Audit", "gates.model"),
    ("FindFacets", "settings.parameterization.maco.dataset"),
}

Step = tuple[FieldDescriptor, ...]


def named(message: Descriptor, seen: tuple[str, ...] = ()) -> Iterator[Step]:
    """The ways to all fields of a request that name a model or a data set."""
    for field in message.fields:
        inner = field.message_type
        if inner is not None and inner.full_name not in seen:
            for rest in named(inner, (*seen, inner.full_name)):
                yield (field, *rest)
        elif field.type == FieldDescriptor.TYPE_STRING and field.name in HIDDEN:
            yield (field,)


def with_name(request: Message, way: Step, name: str) -> Message:
    """The request with a name at the end of a way."""
    changed = type(request)()
    changed.CopyFrom(request)
    message: Any = changed
    for field in way[:-1]:
        held = getattr(message, field.name)
        if field.is_repeated:
            message = held.add()
            message.CopyFrom(INNER.get(message.DESCRIPTOR.full_name, message))
        else:
            message = held
    if way[-1].is_repeated:
        getattr(message, way[-1].name).append(name)
    else:
        setattr(message, way[-1].name, name)
    return changed


async def called(place: Studio, method: MethodDescriptor, request: Message) -> None:
    """Make a call to its end."""

    async def stream() -> AsyncIterator[Message]:
        yield request

    answer = getattr(place.handlers, method.name)(
        stream() if method.client_streaming else request, CALL
    )
    if method.server_streaming:
        async for _ in answer:
            pass
    else:
        await answer


async def refusal(place: Studio, method: MethodDescriptor, request: Message, name: str) -> Any:
    """What a caller is told, with the name left out."""
    try:
        await called(place, method, request)
    except Exception as error:  # noqa: BLE001 - all kinds are compared
        status = status_of(error, "id")
        told = status.SerializeToString().replace(name.encode(), b"?")
        return status.code, status.message.replace(name, "?"), len(told)
    return None


METHODS = [method for service in SERVICES for method in service.methods]
WAYS = [(method, way) for method in METHODS for way in named(method.input_type)]


def test_every_field_that_may_name_something_is_known() -> None:
    for method in METHODS:
        for field in fields_of(method.input_type):
            if field.type == FieldDescriptor.TYPE_STRING and re.search("model|dataset", field.name):
                assert field.name in HIDDEN, field.full_name
    assert len(WAYS) > 30
    missing = {method.input_type.full_name for method, _ in WAYS} - BASE.keys()
    assert not missing


def test_a_hidden_name_is_as_one_that_does_not_exist(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "pictures").mkdir()
        uris = {"secret-set": f"imagefolder:{tmp_path / 'pictures'}"}
        async with studio(tmp_path / "state", uris) as place:
            request = BASE["striate.v1.BuildExemplarIndexRequest"]
            with acting_as(ANN):
                built = await place.handlers.BuildExemplarIndex(request, CALL)
                ended = await place.operations.wait(built.name, 60)
                assert ended.HasField("response"), ended.error
            for method, way in WAYS:
                where, found = (method.name, ".".join(field.name for field in way)), []
                base = BASE[method.input_type.full_name]
                with acting_as(ANN):
                    for name in (HIDDEN[way[-1].name], NOWHERE):
                        one = await refusal(place, method, with_name(base, way, name), name)
                        found.append(one)
                assert found[0] == found[1], where
                expected = (
                    grpc.StatusCode.INVALID_ARGUMENT
                    if where in NOT_LOOKED_FOR
                    else grpc.StatusCode.NOT_FOUND
                )
                assert found[0] is not None, where
                assert found[0][0] == expected.value[0], (where, found)

    run(scenario)


def test_lists_and_hints_do_not_tell_of_hidden_names(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "pictures").mkdir()
        uris = {"secret-set": f"imagefolder:{tmp_path / 'pictures'}"}
        async with studio(tmp_path / "state", uris) as place:
            await asyncio.to_thread(place.zoo.load, "cifar10-plain")
            every = interpret_pb2.ListDatasetsRequest()
            with acting_as(ANN):
                models = await place.handlers.ListModels(
                    model_pb2.ListModelsRequest(include_available=True), CALL
                )
                assert [model.name for model in models.models] == [NAME]
                listed = await place.handlers.ListDatasets(
                    interpret_pb2.ListDatasetsRequest(), CALL
                )
                assert [dataset.name for dataset in listed.datasets] == ["digits"]
                for method, request in (
                    ("GetModel", model_pb2.GetModelRequest(model="cifar10-plan")),
                    ("LoadModel", model_pb2.LoadModelRequest(model="cifar10-plan")),
                    ("ReadSamples", interpret_pb2.ReadSamplesRequest(dataset="secret-sed")),
                ):
                    with pytest.raises(LookupError) as caught:
                        await getattr(place.handlers, method)(request, CALL)
                    told = str(status_of(caught.value, "id"))
                    assert "cifar10-plain" not in told, method
                    assert "secret-set" not in told, method
            listed = await place.handlers.ListDatasets(every, CALL)
            assert "secret-set" in [dataset.name for dataset in listed.datasets]

    run(scenario)


def test_a_page_of_data_sets_goes_on_behind_hidden_ones(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "pictures").mkdir()
        uris = dict.fromkeys(("a", "b", "c", "d"), f"imagefolder:{tmp_path / 'pictures'}")
        async with studio(tmp_path / "state", uris) as place:
            bob, found, token = Identity("bob", Role.READ, datasets=("[bd]", "digits")), [], ""
            with acting_as(bob):
                for _ in range(3):
                    page = await place.handlers.ListDatasets(
                        interpret_pb2.ListDatasetsRequest(page_size=1, page_token=token), CALL
                    )
                    found += [dataset.name for dataset in page.datasets]
                    token = page.next_page_token
            assert (found, token) == (["digits", "b", "d"], "")

    run(scenario)


def test_a_picture_is_not_compared_with_a_hidden_data_set(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path / "state") as place:
            request = BASE["striate.v1.BuildExemplarIndexRequest"]
            built = await place.handlers.BuildExemplarIndex(request, CALL)
            await place.operations.wait(built.name, 60)
            for identity, dataset in (
                (ANN, "digits"),
                (Identity("bob", Role.COMPUTE, datasets=("photo-*",)), ""),
            ):
                with acting_as(identity):
                    result = await place.visualize(objectives=[UNIT], steps=1)
                assert result.visualizations[0].certificate.dataset == dataset

    run(scenario)


def test_the_health_of_a_hidden_model_is_that_of_none() -> None:
    async def scenario() -> None:
        health = HealthService(("striate.readiness",))
        for name in ("striate.readiness", NAME, "resnet18"):
            await health.set(name, HealthCheckResponse.SERVING)
        told = {}
        for name in ("", "striate.readiness", NAME, "resnet18", NOWHERE):
            context = Mock(abort=AsyncMock(side_effect=grpc.aio.AbortError))
            with acting_as(ANN), contextlib.suppress(grpc.aio.AbortError):
                await health.Check(HealthCheckRequest(service=name), context)
            told[name] = context.abort.await_args
        assert told[""] is told["striate.readiness"] is told[NAME] is None
        assert told["resnet18"] == told[NOWHERE] == call(grpc.StatusCode.NOT_FOUND)
        seen = []
        for name in ("resnet18", NOWHERE):
            context = Mock(write=AsyncMock())
            with acting_as(ANN):
                watch = asyncio.create_task(health.Watch(HealthCheckRequest(service=name), context))
            await asyncio.sleep(0)
            await health.set(name, HealthCheckResponse.NOT_SERVING)
            await asyncio.sleep(0)
            watch.cancel()
            seen.append([one.args[0].status for one in context.write.await_args_list])
        assert seen[0] == [HealthCheckResponse.SERVICE_UNKNOWN]

    run(scenario)
