"""What an audit tells: how far it is, and its report."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from striate._formats import audit_table, notebook
from striate._formats.files import write_whole
from striate._rpc.channel import Caller
from striate.epsilons import condition_name
from striate.errors import Internal
from striate.provenance import Provenance
from striate.v1 import attack_pb2, audit_pb2, robustness_pb2_grpc

VerdictName = Literal["valid", "suspect"]
GateVerdictName = Literal["pass", "fail", "open"]

_VERDICTS: dict[int, VerdictName] = {
    audit_pb2.AUDIT_VERDICT_VALID: "valid",
    audit_pb2.AUDIT_VERDICT_SUSPECT: "suspect",
}
_GATES: dict[int, GateVerdictName] = {
    audit_pb2.GATE_VERDICT_PASS: "pass",
    audit_pb2.GATE_VERDICT_FAIL: "fail",
    audit_pb2.GATE_VERDICT_OPEN: "open",
}
_NORMS = {
    attack_pb2.NORM_UNSPECIFIED: "linf",
    attack_pb2.NORM_LINF: "linf",
    attack_pb2.NORM_L2: "l2",
    attack_pb2.NORM_L1: "l1",
}


@dataclass(frozen=True)
class AuditProgress:
    """How far an audit is. gradients: image-gradients so far; seconds_left: estimate, None before
    there is one; stage: what is being done, e.g. "shard 3 of 8".
    """

    models: tuple[str, ...]
    dataset: str
    images_done: int
    images_total: int
    gradients: int
    seconds_left: float | None
    stage: str

    @staticmethod
    def read(data: bytes, caller: Caller, operation: str) -> AuditProgress:
        m = audit_pb2.AuditMetadata.FromString(data)
        left = m.seconds_left if m.HasField("seconds_left") else None
        return AuditProgress(
            tuple(m.models), m.dataset, m.images_done, m.images_total, m.gradients, left, m.stage
        )


@dataclass(frozen=True)
class Gate:
    """What became of the least accuracy that was asked for.

    model: whose; condition: "clean" or e.g. "linf:8/255"; bar: the least accuracy, 0 to 1; verdict:
    "pass" or "fail" at the audit's confidence, or "open" if the images do not decide it;
    decided_after: images after which it was decided, or all; images, robust: how many the audit
    judged in all, and how many of them withstood.
    """

    model: str
    condition: str
    bar: float
    verdict: GateVerdictName
    decided_after: int
    images: int
    robust: int

    @property
    def share(self) -> float:
        """The accuracy measured, 0 to 1; 0 without images."""
        return self.robust / self.images if self.images else 0.0

    @property
    def missed(self) -> bool:
        """Is the bar missed: for certain, or, where the images do not decide it, as measured?"""
        return self.verdict == "fail" or (self.verdict == "open" and self.share < self.bar)

    @staticmethod
    def read(message: audit_pb2.GateOutcome, images: int) -> Gate:
        gate = message.gate
        condition = condition_name(_NORMS[gate.norm] if gate.epsilon else "", gate.epsilon)
        return Gate(
            gate.model,
            condition,
            gate.bar,
            _word(_GATES, message.verdict),
            message.images,
            images,
            message.robust,
        )


@dataclass(frozen=True, eq=False)
class AuditReport:
    """How robust networks are, and whether that can be believed.

    verdict: "valid" if every check of the audit on itself passed, else "suspect": the figures may
    flatter a network; gates: the least accuracies asked for and what became of them; report: the
    whole report as plain values; provenance: one a model; operation: name of the audit, by which
    `service.audit_report` finds it again.
    """

    operation: str
    verdict: VerdictName
    gates: tuple[Gate, ...]
    provenance: tuple[Provenance, ...]
    json_text: str = field(repr=False)
    report: dict[str, Any] = field(repr=False)
    _caller: Caller = field(repr=False)

    @staticmethod
    def read(data: bytes, caller: Caller, operation: str) -> AuditReport:
        """Raises Internal if the server's report is not what a report is."""
        message = audit_pb2.AuditResponse.FromString(data)
        try:
            report = json.loads(message.report_json)
        except ValueError as error:
            raise Internal(f"the server sent a broken report: {error}") from None
        if not isinstance(report, dict) or not isinstance(images := report.get("images"), int):
            raise Internal("the server sent a report that does not say how many images it judged")
        return AuditReport(
            operation=operation,
            verdict=_word(_VERDICTS, message.verdict),
            gates=tuple(Gate.read(gate, images) for gate in message.gates),
            provenance=tuple(Provenance.read(one) for one in message.provenance),
            json_text=message.report_json,
            report=report,
            _caller=caller,
        )

    @property
    def passed(self) -> bool:
        """Did no gate fail? Gates that the images do not decide have not failed: see
        Gate.missed.
        """
        return all(gate.verdict != "fail" for gate in self.gates)

    def to_json(self, path: str | Path) -> Path:
        """Writes the report by its published schema, and returns the path."""
        return write_whole(path, [self.json_text.encode()])

    def to_html(self, path: str | Path, *, timeout: float | None = None) -> Path:
        """Writes one self-contained page: curves, tables, a gallery, the checks and all
        settings.
        """
        return self._fetch(audit_pb2.REPORT_FORMAT_HTML, path, timeout)

    def to_junit(self, path: str | Path, *, timeout: float | None = None) -> Path:
        """Writes gates and checks as JUnit test cases."""
        return self._fetch(audit_pb2.REPORT_FORMAT_JUNIT, path, timeout)

    def to_parquet(self, path: str | Path, *, timeout: float | None = None) -> Path:
        """Writes a table of one row an image and network."""
        return self._fetch(audit_pb2.REPORT_FORMAT_PARQUET, path, timeout)

    def to_examples(self, path: str | Path, *, timeout: float | None = None) -> Path:
        """Writes the adversarial images as a table (parquet): one PNG file a row, with the image,
        network, threat, epsilon and attack.
        """
        return self._fetch(audit_pb2.REPORT_FORMAT_EXAMPLES, path, timeout)

    def summary(self) -> str:
        """The verdict, the accuracies, the gates and what failed, as text."""
        return audit_table.as_text(
            self.report, self.verdict, [gate_row(gate) for gate in self.gates]
        )

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        gates = (
            notebook.table(audit_table.GATE_HEADER, [gate_row(gate) for gate in self.gates])
            if self.gates
            else ""
        )
        return (
            f"<p>{self.verdict}</p>"
            + notebook.table(audit_table.header(self.report), audit_table.rows(self.report))
            + gates
        )

    def _fetch(
        self, form: audit_pb2.ReportFormat.ValueType, path: str | Path, timeout: float | None
    ) -> Path:
        """Writes a file that the server makes, in parts. Raises a StriateError, e.g.
        OperationNotFound if the audit was forgotten.
        """
        stub = robustness_pb2_grpc.RobustnessServiceStub(self._caller.channel)
        request = audit_pb2.ReadAuditReportRequest(operation=self.operation, format=form)
        with closing(self._caller.stream(stub.ReadAuditReport, request, timeout)) as parts:
            return write_whole(path, (part.data for part in parts))


def gate_row(gate: Gate) -> tuple[str, ...]:
    """A gate as a row of a table."""
    after = "" if gate.verdict == "open" else f"after {gate.decided_after}"
    return (
        gate.model,
        gate.condition,
        f"{gate.bar:.1%}",
        f"{gate.robust} of {gate.images}",
        f"{gate.share:.1%}",
        gate.verdict,
        after,
    )


def _word(words: dict[int, Any], value: int) -> Any:
    if value not in words:
        raise Internal(f"the server sent a verdict that this client does not know: {value}")
    return words[value]
