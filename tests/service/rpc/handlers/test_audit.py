"""Audits as operations, from request to report, on a small network in this process."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import code_pb2  # type: ignore[import-untyped, unused-ignore]

from service.audit.journal import NoReport
from service.datasets import Datasets, UnknownDataset
from service.models.zoo import ModelBusy, ModelZoo, UnknownModel
from service.operations import OperationRunning, Operations, OperationStore, UnknownOperation
from service.rpc.compute import Compute
from service.rpc.errors import status_of
from service.rpc.handlers import audit as handlers
from service.rpc.handlers.audit import AUDIT, AuditHandler
from service.rpc.validation import InvalidField
from service.state.sealed import seal, unseal
from striate.v1 import attack_pb2
from striate.v1 import audit_pb2 as pb
from tests.service.engine.toys_engine import running

NAME = "digits-lenet5"
LONG = 120.0
FORMATS = [value for value in pb.ReportFormat.values() if value]
SMALL = {
    "models": [NAME],
    "dataset": "digits",
    "limit": 24,
    "shard_images": 8,
    "threats": [pb.ThreatModel(epsilons=[32 / 255])],
    "attacks": [attack_pb2.AttackMethod(fgsm=attack_pb2.Fgsm())],
    "skip_checks": True,
}


class Place:
    """A server without its gRPC: the handlers, the operations and the models."""

    def __init__(
        self, operations: Operations, audits: AuditHandler, zoo: ModelZoo, state: Path
    ) -> None:
        self.operations, self.audits, self.zoo, self.state = operations, audits, zoo, state

    async def start(self, **settings: Any) -> Operation:
        return await self.audits.audit(pb.AuditRequest(**SMALL | settings), None)  # type: ignore[arg-type]

    async def ended(self, **settings: Any) -> Operation:
        return await self.operations.wait((await self.start(**settings)).name, LONG)

    async def read(self, operation: str, kind: int = 0) -> list[bytes]:
        request = pb.ReadAuditReportRequest(operation=operation, format=kind)  # type: ignore[arg-type]
        return [part.data async for part in self.audits.read_audit_report(request, None)]  # type: ignore[arg-type]

    def folder(self, operation: str) -> Path:
        return self.state / "audits" / operation.removeprefix("operations/")


@asynccontextmanager
async def placed(state: Path) -> AsyncIterator[Place]:
    with running() as engine, ThreadPoolExecutor(2) as pool:
        zoo = ModelZoo(None, {}, engine.run)
        await asyncio.to_thread(zoo.load, NAME)
        operations = Operations(
            OperationStore(state / "operations.sqlite"), lambda error: status_of(error, "")
        )
        operations.register("other", lambda request, _: request)
        datasets = Datasets({}, state / "datasets")
        audits = AuditHandler(zoo, Compute(engine, pool), datasets, operations, state / "audits")
        await operations.recover()
        yield Place(operations, audits, zoo, state)
        await operations.drain(LONG)
        await operations.close()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 2 * LONG))


def unpacked(operation: Operation) -> pb.AuditResponse:
    response = pb.AuditResponse()
    assert operation.response.Unpack(response), operation
    return response


def eventually(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)


def test_an_audit_from_request_to_reports_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "CHUNK_BYTES", 1000)

    async def scenario() -> None:
        async with placed(tmp_path) as place:
            operation = await place.ended(
                gates=[pb.Gate(bar=0.05), pb.Gate(epsilon=32 / 255, bar=0.999)]
            )
            found = unpacked(operation)
            report = json.loads(found.report_json)
            assert found.verdict == pb.AUDIT_VERDICT_SUSPECT  # nothing was checked
            assert [p.model for p in found.provenance] == [NAME]
            assert found.provenance[0].model_digest == place.zoo.get(NAME).digest
            assert [g.verdict for g in found.gates] == [pb.GATE_VERDICT_PASS, pb.GATE_VERDICT_FAIL]
            assert [g.gate.model for g in found.gates] == [NAME, NAME]
            assert found.gates[1].gate.epsilon == pytest.approx(32 / 255)
            worst = report["networks"][0]["threats"][0]["worst"][0]
            assert found.gates[1].robust == worst["successes"]
            parts = {kind: await place.read(operation.name, kind) for kind in FORMATS}
            for pieces in parts.values():
                assert {len(piece) for piece in pieces[:-1]} <= {1000}
                assert 0 < len(pieces[-1]) <= 1000
            files = {kind: b"".join(pieces) for kind, pieces in parts.items()}
            assert files[pb.REPORT_FORMAT_JSON].decode() == found.report_json
            assert b"".join(await place.read(operation.name)) == files[pb.REPORT_FORMAT_JSON]
            assert files[pb.REPORT_FORMAT_HTML].startswith(b"<!")
            assert files[pb.REPORT_FORMAT_JUNIT].startswith(b"<?xml")
            assert (
                pq.read_table(pa.BufferReader(files[pb.REPORT_FORMAT_PARQUET])).num_rows
                == report["images"]
            )
            fooled = report["networks"][0]["clean"]["successes"] - worst["successes"]
            assert (
                pq.read_table(pa.BufferReader(files[pb.REPORT_FORMAT_EXAMPLES])).num_rows == fooled
            )
            assert not list(place.folder(operation.name).glob("shard-*"))  # the reports have it all
            metadata = pb.AuditMetadata()
            assert operation.metadata.Unpack(metadata)
            assert (metadata.images_done, metadata.images_total, metadata.stage) == (
                report["images"],
                24,
                "reports",
            )
            await place.operations.delete(operation.name)
            assert not place.folder(operation.name).exists()
            with pytest.raises(UnknownOperation):
                await place.read(operation.name)

    run(scenario)


def test_a_server_that_died_before_it_could_say_so_has_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with placed(tmp_path) as place:
            first = await place.ended()
            again = await place.operations.start(
                AUDIT, pb.AuditRequest(), pb.AuditMetadata()
            )  # of a request that could not be run
            ended = await place.operations.wait(again.name, LONG)
            assert ended.error.code == code_pb2.INVALID_ARGUMENT
            monkeypatch.setattr(place.audits, "_folder_of", lambda _: place.folder(first.name))
            third = await place.operations.start(AUDIT, pb.AuditRequest(), pb.AuditMetadata())
            assert unpacked(await place.operations.wait(third.name, LONG)) == unpacked(first)

    run(scenario)


def test_reports_that_are_not_there_are_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with placed(tmp_path) as place:
            with pytest.raises(UnknownOperation):
                await place.read("operations/00")
            with pytest.raises(InvalidField, match="operation"):
                await place.read("")
            other = await place.operations.start("other", StringValue(), StringValue())
            with pytest.raises(InvalidField, match="not an audit"):
                await place.read(other.name)
            running_ = await place.start(limit=0)
            with pytest.raises(OperationRunning):
                await place.read(running_.name)
            await asyncio.to_thread(
                eventually, lambda: list(place.folder(running_.name).glob("shard-*"))
            )
            with pytest.raises(ModelBusy):
                await asyncio.to_thread(place.zoo.unload, NAME)
            await place.operations.cancel(running_.name)
            assert (
                await place.operations.wait(running_.name, LONG)
            ).error.code == code_pb2.CANCELLED
            with pytest.raises(NoReport, match="cancelled"):
                await place.read(running_.name)
            with pytest.raises(InvalidField, match="format"):
                await place.read(running_.name, 77)
            await asyncio.to_thread(place.zoo.unload, NAME)

    run(scenario)


def test_what_is_wrong_is_said_before_anything_begins(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with placed(tmp_path) as place:
            for settings, error in (
                ({"models": ["nobody"]}, UnknownModel),
                ({"models": []}, InvalidField),
                ({"dataset": "nothing"}, UnknownDataset),
                ({"dataset": ""}, InvalidField),
                ({"dataset": "photo-patches"}, InvalidField),
                ({"shard_images": 3}, InvalidField),
                ({"mce_reference": NAME}, InvalidField),
                ({"mce_reference": "nobody", "corruptions": ["fog"]}, UnknownModel),
                ({"mce_reference": "lenet", "corruptions": ["fog"]}, UnknownModel),
            ):
                with pytest.raises(error):
                    await place.start(**settings)
            assert await place.operations.page(9, None, None, None) == []

    run(scenario)


@pytest.mark.parametrize("same", [True, False])
def test_an_audit_is_taken_up_with_the_same_weights_alone(tmp_path: Path, same: bool) -> None:
    """The first server is told to stop in the middle; the second has the model, of these weights or
    of others.
    """

    async def first() -> str:
        async with placed(tmp_path) as place:
            operation = await place.start(limit=400)
            await asyncio.to_thread(
                eventually, lambda: list(place.folder(operation.name).glob("shard-000001-*"))
            )
            return str(operation.name)

    async def scenario() -> None:
        name = await first()
        path = tmp_path / "audits" / name.removeprefix("operations/") / "facts.json"
        facts = unseal(path.read_bytes())
        assert not path.with_name("report.json").exists()
        if not same:
            path.write_bytes(seal(facts | {f"the digest of {NAME}": "0" * 64}))
        async with placed(tmp_path) as place:
            ended = await place.operations.wait(name, LONG)
            if same:
                assert json.loads(unpacked(ended).report_json)["images"] == 400
            else:
                assert ended.error.code == code_pb2.FAILED_PRECONDITION
                assert f"the digest of {NAME} is" in ended.error.message

    run(scenario)
