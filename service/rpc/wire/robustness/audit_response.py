"""From the progress and reports of audits to messages."""

import json
import math
from collections.abc import Mapping
from typing import Any

from interp.audit.answered import ANSWERED
from interp.audit.conditions import parse
from interp.audit.tally import CLEAN
from service.audit.report_files import COMPANY
from service.audit.spec import AuditProgress
from service.auth.identity import current
from striate.v1 import attack_pb2, types_pb2
from striate.v1 import audit_pb2 as pb

_NORMS = {math.inf: attack_pb2.NORM_LINF, 2.0: attack_pb2.NORM_L2, 1.0: attack_pb2.NORM_L1}
_VERDICTS = {
    "pass": pb.GATE_VERDICT_PASS,
    "fail": pb.GATE_VERDICT_FAIL,
    "open": pb.GATE_VERDICT_OPEN,
}


def metadata(request: pb.AuditRequest, progress: AuditProgress) -> pb.AuditMetadata:
    """Write how far an audit of the present caller is.

    Args:
        request: the audit.
        progress: how far it is.
    """
    return pb.AuditMetadata(
        models=request.models,
        dataset=request.dataset,
        images_done=progress.images + progress.left_out,
        images_total=progress.total,
        gradients=progress.gradients,
        seconds_left=progress.seconds_left,
        stage=progress.stage,
        images_left_out=progress.left_out,
        owner=current.get().name,
        share=request.share,
    )


def response(text: str) -> pb.AuditResponse:
    """Write the outcome of an audit.

    Args:
        text: its report as JSON, see `interp.audit.report`.
    """
    report = json.loads(text)
    version = report["versions"]["striate"]
    return pb.AuditResponse(
        verdict=pb.AUDIT_VERDICT_VALID
        if report["verdict"] == "valid"
        else pb.AUDIT_VERDICT_SUSPECT,
        report_json=text,
        gates=[_outcome(gate) for gate in report["gates"]],
        provenance=[
            types_pb2.Provenance(
                model=network["name"],
                model_digest=network["digest"],
                service_version=version,
                warnings=[
                    f"{network['name']}: {check['evidence']}"
                    for check in network["checks"]
                    if (check["name"] == COMPANY and check["status"] == "failed")
                    or check["name"] == ANSWERED
                ],
            )
            for network in report["networks"]
        ],
    )


def _outcome(gate: Mapping[str, Any]) -> pb.GateOutcome:
    p, epsilon = (math.inf, 0.0) if gate["condition"] == CLEAN else parse(gate["condition"])
    return pb.GateOutcome(
        gate=pb.Gate(model=gate["network"], norm=_NORMS[p], epsilon=epsilon, bar=gate["bar"]),
        verdict=_VERDICTS[gate["verdict"]],
        images=gate["decided_after"],
        robust=gate["rate"]["successes"],
    )
