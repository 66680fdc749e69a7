"""The fake RobustnessService, and the audits that it tells of."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from google.longrunning import operations_pb2  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray
from PIL import Image

from striate.v1 import attack_pb2, audit_pb2, robustness_pb2_grpc, types_pb2
from tests.client.fakes.fakes_server import (
    CLASSES,
    DIGEST,
    Fake,
    adversarial,
    favourite,
    request_id,
    rows_of,
)

UPLOADED = "upload-1"
AUDIT = "operations/audit-1"


class Robustness(robustness_pb2_grpc.RobustnessServiceServicer):
    """Answers every row by rules that a test can compute itself: see `verdict` and `minimal`."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake

    def Attack(self, request: attack_pb2.AttackRequest, context: Any) -> attack_pb2.AttackResponse:
        images = rows_of(request.images)
        rows, pixels = [], []
        for place, image in enumerate(images):
            rows.append(verdict(request, place, image))
            seeds = request.row_settings.seeds
            pixels.append(
                adversarial(seeds[place], 0)
                if seeds
                else adversarial(request.seed, request.first_row + place)
            )
        response = attack_pb2.AttackResponse(
            rows=rows,
            provenance=self.fake.provenance(request_id(context)),
            gradients=10 * len(rows),
        )
        response.queries = request.method.square.queries * len(rows)
        response.warnings.extend(self.fake.warnings)
        for epsilon in request.epsilon_search.epsilons:
            robust = sum(
                not row.HasField("minimal_epsilon") or row.minimal_epsilon > epsilon for row in rows
            )
            response.curve.add(epsilon=epsilon, robust=robust, images=len(rows))
        if request.format == attack_pb2.IMAGE_FORMAT_PNG:
            response.pngs.extend(map(as_png, pixels))
        else:
            response.images.CopyFrom(as_tensor(np.stack(pixels)))
        return response

    def AttackStream(
        self, requests: Iterator[attack_pb2.AttackStreamRequest], context: Any
    ) -> Iterator[attack_pb2.AttackStreamResponse]:
        if self.fake.converse is not None:
            yield from self.fake.converse(requests, context)
            return
        settings = next(requests).settings
        for request in requests:
            yield answer(settings.attack, request.image)

    def Audit(self, request: audit_pb2.AuditRequest, context: Any) -> Any:
        return self.fake.operations.setdefault(AUDIT, auditing(0))

    def ReadAuditReport(
        self, request: audit_pb2.ReadAuditReportRequest, context: Any
    ) -> Iterator[audit_pb2.ReadAuditReportResponse]:
        if self.fake.report_parts is not None:
            yield from self.fake.report_parts(request, context)
            return
        for part in (audit_pb2.ReportFormat.Name(request.format), " of ", request.operation):
            yield audit_pb2.ReadAuditReportResponse(data=part.encode())

    def UploadDataset(
        self, requests: Iterator[audit_pb2.UploadDatasetRequest], context: Any
    ) -> audit_pb2.UploadDatasetResponse:
        for request in requests:
            self.fake.uploaded.append(request)
        return audit_pb2.UploadDatasetResponse(
            dataset=UPLOADED, images=sum(len(part.labels) for part in self.fake.uploaded)
        )


def verdict(request: attack_pb2.AttackRequest, place: int, image: bytes) -> attack_pb2.AttackRow:
    """The fake's verdict on an image: the attack succeeds on all rows but every fourth."""
    row = request.first_row + place
    label = request.labels[place] if request.labels else favourite(image)
    message = attack_pb2.AttackRow(
        label=label, clean_prediction=favourite(image), succeeded=row % 4 != 0, norm=row / 8
    )
    if request.targets:
        message.target = request.targets[place]
    elif request.target_choice:
        message.target = (label + 1 + request.target_choice) % len(CLASSES)
    aim = message.target if message.HasField("target") else (label + 1) % len(CLASSES)
    message.prediction = aim if message.succeeded else label
    if request.row_settings.epsilons:
        message.norm = request.row_settings.epsilons[place]
        message.no_freedom = message.norm < 1 / 255
    if request.HasField("unit"):
        message.clean_activation, message.activation = row, -row
    if request.noise_control:
        message.noise_prediction, message.noise_succeeded, message.noise_norm = (
            label,
            row % 8 == 7,
            0.5,
        )
    if (
        request.HasField("epsilon_search")
        and (least := minimal(row, list(request.epsilon_search.epsilons))) is not None
    ):
        message.minimal_epsilon = least
    return message


def minimal(row: int, epsilons: list[float]) -> float | None:
    """The fake's minimal epsilon of an absolute row: in turn 0, each of the epsilons, and none."""
    return [0.0, *epsilons, None][row % (len(epsilons) + 2)]


def answer(
    attack: attack_pb2.AttackRequest, image: attack_pb2.AttackStreamImage
) -> attack_pb2.AttackStreamResponse:
    """The fake's answer to an image of a stream: what Attack says of the row of that number."""
    request = attack_pb2.AttackRequest()
    request.CopyFrom(attack)
    request.first_row = image.id
    if image.HasField("label"):
        request.labels.append(image.label)
    if image.HasField("target"):
        request.targets.append(image.target)
    if image.HasField("epsilon"):
        request.row_settings.epsilons.append(image.epsilon)
    attacked = attack_pb2.AttackedImage(row=verdict(request, 0, rows_of(image.image)[0]))
    pixels = adversarial(attack.seed, image.id)
    if attack.format == attack_pb2.IMAGE_FORMAT_PNG:
        attacked.png = as_png(pixels)
    else:
        attacked.image.CopyFrom(as_tensor(pixels[None]))
    return attack_pb2.AttackStreamResponse(id=image.id, attacked=attacked)


def as_tensor(pixels: NDArray[np.float32]) -> types_pb2.Tensor:
    little = pixels.astype("<f4")
    return types_pb2.Tensor(
        dtype=types_pb2.DATA_TYPE_FLOAT32, shape=little.shape, data=little.tobytes()
    )


def as_png(pixels: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8).transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def auditing(
    images_done: int, seconds_left: float | None = None, stage: str = "shard 1", left_out: int = 0
) -> Any:
    """The state of an audit under way."""
    operation = operations_pb2.Operation(name=AUDIT)
    metadata = audit_pb2.AuditMetadata(
        models=["tiny"],
        dataset="digits",
        images_done=images_done,
        images_total=200,
        gradients=7,
        seconds_left=seconds_left,
        stage=stage,
        images_left_out=left_out,
    )
    operation.metadata.Pack(metadata)
    return operation


def audited(
    verdict: int = audit_pb2.AUDIT_VERDICT_VALID,
    *gates: audit_pb2.GateOutcome,
    text: str | None = None,
) -> Any:
    """The state of an audit that ended well."""
    operation = auditing(200)
    operation.done = True
    text = json.dumps(REPORT) if text is None else text
    provenance = types_pb2.Provenance(model="tiny", model_digest=DIGEST)
    operation.response.Pack(
        audit_pb2.AuditResponse(
            verdict=audit_pb2.AuditVerdict.ValueType(verdict),
            report_json=text,
            gates=gates,
            provenance=[provenance],
        )
    )
    return operation


def gate(
    epsilon: float, bar: float, verdict: int, robust: int, norm: int = attack_pb2.NORM_LINF
) -> audit_pb2.GateOutcome:
    """What became of a gate on 200 images, which was decided after 128 of them if it was."""
    asked = audit_pb2.Gate(
        model="tiny",
        norm=attack_pb2.Norm.ValueType(norm if epsilon else 0),
        epsilon=epsilon,
        bar=bar,
    )
    return audit_pb2.GateOutcome(
        gate=asked,
        verdict=audit_pb2.GateVerdict.ValueType(verdict),
        images=200 if verdict == audit_pb2.GATE_VERDICT_OPEN else 128,
        robust=robust,
    )


def _rate(successes: int) -> dict[str, Any]:
    return {
        "successes": successes,
        "trials": 200,
        "value": successes / 200,
        "low": (successes - 10) / 200,
        "high": (successes + 10) / 200,
    }


REPORT: dict[str, Any] = {
    "schema": "striate.audit/1",
    "verdict": "valid",
    "images": 200,
    "dataset": {"name": "digits"},
    "settings": {"confidence": 0.95},
    "networks": [
        {
            "name": "tiny",
            "clean": _rate(180),
            "threats": [
                {
                    "norm": "linf",
                    "epsilons": [1 / 255, 8 / 255],
                    "noise": [_rate(178), _rate(171)],
                    "attacks": [
                        {"name": "pgd", "label": "PGD-40", "robust": [_rate(121), _rate(61)]},
                        {"name": "apgd", "label": "APGD-50", "robust": [_rate(119), _rate(59)]},
                    ],
                    "worst": [_rate(117), _rate(57)],
                }
            ],
            "corruptions": [
                {"name": "fog", "severity": 1, "accuracy": _rate(150)},
                {"name": "fog", "severity": 2, "accuracy": _rate(130)},
            ],
            "augmentations": [],
            "checks": [
                {
                    "name": "zero-gradients",
                    "status": "passed",
                    "evidence": "none vanish",
                    "source": "",
                },
                {
                    "name": "randomness",
                    "status": "failed",
                    "evidence": "3 <b>passes</b> differ",
                    "source": "",
                },
            ],
        }
    ],
}
