"""Another caller's upload is, in every request that can name a data set, as one that does not
exist; and neither its indexes nor anybody's kept pictures are told of.
"""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.longrunning.operations_pb2 import Operation
from google.protobuf.any_pb2 import Any as Packed
from PIL import Image

from service.auth.identity import Identity, Role, acting_as
from service.operations import UnknownOperation
from service.rpc.errors import status_of
from service.rpc.validation import InvalidField
from striate.v1 import audit_pb2, exemplars_pb2, interpret_pb2, types_pb2
from tests.service.rpc.test_hidden_names import (
    BASE,
    NOT_LOOKED_FOR,
    UNIT,
    WAYS,
    refusal,
    with_name,
)
from tests.service.rpc.toys_studio import CALL, NAME, Studio, run, studio

ANN, BOB = Identity("ann", Role.COMPUTE), Identity("bob", Role.COMPUTE)
NOWHERE = "upload-0123456789abcdef"


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


async def upload(place: Studio, caller: Identity, *share: str) -> str:
    async def messages() -> AsyncIterator[audit_pb2.UploadDatasetRequest]:
        images = types_pb2.ImageBatch(encoded=map(picture, range(32)))
        yield audit_pb2.UploadDatasetRequest(images=images, labels=[1] * 32, share=share)

    with acting_as(caller):
        response = await place.handlers.UploadDataset(messages(), CALL)
    return str(response.dataset)


async def indexed(place: Studio, caller: Identity, dataset: str, *share: str) -> Operation:
    request = exemplars_pb2.BuildExemplarIndexRequest(
        model=NAME, dataset=dataset, layers=["c3"], share=share
    )
    with acting_as(caller):
        built = await place.handlers.BuildExemplarIndex(request, CALL)
        ended = await place.operations.wait(built.name, 60)
    assert ended.HasField("response"), ended.error
    return ended


def test_anothers_upload_is_as_none_in_every_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            mine = await upload(place, ANN)
            await indexed(place, BOB, "digits")
            await indexed(place, ANN, mine)
            for method, way in WAYS:
                where, found = (method.name, ".".join(field.name for field in way)), []
                if way[-1].name != "dataset":
                    continue
                base = BASE[method.input_type.full_name]
                with acting_as(BOB):
                    for name in (mine, NOWHERE):
                        found.append(await refusal(place, method, with_name(base, way, name), name))
                assert found[0] == found[1], where
                assert found[0] is not None
                if where not in NOT_LOOKED_FOR:
                    assert found[0][0] == grpc.StatusCode.NOT_FOUND.value[0], where

    run(scenario)


def test_an_upload_in_use_is_not_told_of(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            mine = await upload(place, ANN)
            busy: Any = place.handlers.DeleteDataset.__self__
            request = interpret_pb2.DeleteDatasetRequest(dataset=mine)
            packed = types_any(audit_pb2.AuditRequest(dataset=mine))
            busy._operations = type("Live", (), {"live": [("Audit", packed)]})()
            for caller, code in ((BOB, "NOT_FOUND"), (ANN, "FAILED_PRECONDITION")):
                with acting_as(caller), pytest.raises(Exception) as caught:  # noqa: PT011
                    await place.handlers.DeleteDataset(request, CALL)
                assert status_of(caught.value, "").code == grpc.StatusCode[code].value[0]

    run(scenario)


def types_any(message: Any) -> Any:
    packed = Packed()
    packed.Pack(message)
    return packed


def test_an_index_is_for_those_who_may_read_its_data_set(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            mine, shared = await upload(place, ANN), await upload(place, BOB, "ann")
            for caller, dataset in ((ANN, mine), (BOB, shared)):
                ended = await indexed(place, caller, dataset)
                metadata = exemplars_pb2.BuildExemplarIndexMetadata()
                assert ended.metadata.Unpack(metadata)
                assert metadata.owner == caller.name
            for caller, expected in (
                (ANN, {mine: "ann", shared: "bob"}),
                (BOB, {shared: "bob"}),
                (Identity("zoe", Role.COMPUTE), {}),
            ):
                with acting_as(caller):
                    listed = await place.handlers.ListDatasets(
                        interpret_pb2.ListDatasetsRequest(model=NAME), CALL
                    )
                    pictures = await place.visualize(objectives=[UNIT], steps=1)
                assert {
                    one.name: one.indexes[0].built_by for one in listed.datasets if one.indexes
                } == expected
                assert {one.name: one.owner for one in listed.datasets if one.owner} == expected
                compared = pictures.visualizations[0].certificate.dataset
                assert compared in expected or (not compared and not expected)

    run(scenario)


def test_kept_pictures_are_their_makers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            pictures = list[bytes]()
            for caller, cached in ((ANN, False), (BOB, False), (ANN, True), (BOB, True)):
                with acting_as(caller):
                    (one,) = await place.layer("c3", first=1, count=1, steps=1)
                assert one.picture.cached == cached
                pictures.append(one.picture.visualization.png)
            assert len(set(pictures)) == 1

    run(scenario)


@pytest.mark.parametrize(
    ("share", "told"),
    [(["a\nb"], r"share\[0\]: is"), ([""], r"share\[0\]"), (["a" * 201], r"share\[0\]: has 201")],
)
def test_what_nobody_can_be_called_is_refused(tmp_path: Path, share: list[str], told: str) -> None:
    async def scenario() -> None:
        async with studio(tmp_path) as place:
            for kind in ("BuildExemplarIndex", "Audit"):
                request = BASE[f"striate.v1.{kind}Request"]
                asked = type(request)(share=share)
                asked.MergeFrom(request)
                with pytest.raises(InvalidField, match=told):
                    await getattr(place.handlers, kind)(asked, CALL)
            with pytest.raises(InvalidField, match=told):
                await upload(place, ANN, *share)

    run(scenario)


def test_a_report_is_read_by_those_who_see_its_audit(tmp_path: Path) -> None:
    async def read(place: Studio, caller: Identity, name: str) -> bytes:
        request = audit_pb2.ReadAuditReportRequest(operation=name)
        with acting_as(caller):
            parts = [part.data async for part in place.handlers.ReadAuditReport(request, CALL)]
        return b"".join(parts)

    async def scenario() -> None:
        async with studio(tmp_path) as place:
            names = {}
            for share in ((), ("zoe",)):
                request = audit_pb2.AuditRequest(
                    models=[NAME],
                    dataset="digits",
                    limit=8,
                    shard_images=8,
                    skip_checks=True,
                    threats=[audit_pb2.ThreatModel(epsilons=[0.1])],
                    attacks=[BASE["striate.v1.AttackRequest"].method],  # type: ignore[attr-defined]
                    share=share,
                )
                with acting_as(ANN):
                    started = await place.handlers.Audit(request, CALL)
                    ended = await place.operations.wait(started.name, 60)
                assert ended.HasField("response"), ended.error
                names[share] = str(ended.name)
                progress = audit_pb2.AuditMetadata()
                assert ended.metadata.Unpack(progress)
                assert (progress.owner, tuple(progress.share)) == ("ann", share)
            zoe, eve = Identity("zoe", Role.READ), Identity("eve", Role.ADMIN)
            for caller, seen in ((ANN, {(), ("zoe",)}), (eve, {(), ("zoe",)}), (zoe, {("zoe",)})):
                for share, name in names.items():
                    if share in seen:
                        assert await read(place, caller, name)
                    else:
                        with pytest.raises(UnknownOperation):
                            await read(place, caller, name)

    run(scenario)
