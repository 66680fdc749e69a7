"""An audit of images that the caller sends, through a real server: upload, audit, reports."""

import json
from collections.abc import Iterator

import grpc
import pytest
from google.longrunning import operations_pb2
from google.longrunning.operations_pb2_grpc import OperationsStub  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.duration_pb2 import Duration

import striate
from striate.v1 import attack_pb2, types_pb2
from striate.v1 import audit_pb2 as pb
from striate.v1.robustness_pb2_grpc import RobustnessServiceStub
from tests.toys_server import Server

NAME = "digits-lenet5"
SECONDS = 120.0


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.target) as channel:
        yield channel


def parts(
    images: list[bytes], labels: list[int], size: int = 7
) -> Iterator[pb.UploadDatasetRequest]:
    for first in range(0, len(images), size):
        batch = types_pb2.ImageBatch(encoded=images[first : first + size])
        classes = [] if first else [str(digit) for digit in range(10)]
        yield pb.UploadDatasetRequest(
            images=batch, labels=labels[first : first + size], classes=classes
        )


def test_images_that_were_sent_are_audited(server: Server, channel: grpc.Channel) -> None:
    stub = RobustnessServiceStub(channel)
    with striate.connect(server.target, timeout=SECONDS) as service:
        samples = service.samples("digits", first=200, count=24)
        images, labels = (
            [sample.encoded for sample in samples],
            [int(sample.label or 0) for sample in samples],
        )
        uploaded = stub.UploadDataset(parts(images, labels), timeout=SECONDS)
        assert uploaded.images == 24
        assert stub.UploadDataset(parts(images, labels, 24), timeout=SECONDS) == uploaded
        assert [s.encoded for s in service.samples(uploaded.dataset, count=24)] == images
        assert {info.name: info.size for info in service.datasets()}[uploaded.dataset] == 24
        clean = sum(
            row[0].index == label
            for row, label in zip(service.model(NAME).classify(images, k=1), labels, strict=True)
        )
    fgsm = attack_pb2.AttackMethod(fgsm=attack_pb2.Fgsm())
    request = pb.AuditRequest(
        models=[NAME], dataset=uploaded.dataset, attacks=[fgsm], shard_images=8, skip_checks=True
    )
    operation = stub.Audit(request, timeout=SECONDS)
    wait = operations_pb2.WaitOperationRequest(
        name=operation.name, timeout=Duration(seconds=int(SECONDS))
    )
    operation = OperationsStub(channel).WaitOperation(wait)
    response = pb.AuditResponse()
    assert operation.response.Unpack(response), operation
    report = json.loads(response.report_json)
    assert report["networks"][0]["clean"]["successes"] == clean
    assert report["dataset"]["uri"] == uploaded.dataset.replace("-", ":")
    assert [threat["epsilons"] for threat in report["networks"][0]["threats"]] == [
        [1 / 255, 2 / 255, 4 / 255, 8 / 255]
    ]
    read = stub.ReadAuditReport(
        pb.ReadAuditReportRequest(operation=operation.name), timeout=SECONDS
    )
    assert b"".join(part.data for part in read).decode() == response.report_json


@pytest.mark.parametrize(
    ("images", "labels", "field"),
    [
        ([b"GIF89a"], [1], "images.encoded[0]"),
        ([b"\xff\xd8\xff"], [10], "labels[0]"),
        ([], [], "images"),
    ],
)
def test_a_bad_upload_is_named(
    channel: grpc.Channel, images: list[bytes], labels: list[int], field: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        RobustnessServiceStub(channel).UploadDataset(parts(images, labels), timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith(f"{field}: ")
