"""What an audit returns: its progress, and its report."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from striate._formats import audit_table, notebook
from striate._formats.files import write_whole
from striate._rpc.caller import Caller
from striate.attacks.epsilons import condition_name
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
    """How far an audit is.

    Attributes:
        models: Names of the models.
        dataset: Name of the data set.
        images_done: Images that are judged so far.
        images_total: Images to be judged in all.
        gradients: Image-gradients so far.
        seconds_left: Estimate of the time left in seconds, None before there is one.
        stage: What is being done, e.g. "shard 3 of 8".
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
        """Reads the operation's packed metadata."""
        message = audit_pb2.AuditMetadata.FromString(data)
        return AuditProgress(
            models=tuple(message.models),
            dataset=message.dataset,
            images_done=message.images_done,
            images_total=message.images_total,
            gradients=message.gradients,
            seconds_left=message.seconds_left if message.HasField("seconds_left") else None,
            stage=message.stage,
        )


@dataclass(frozen=True)
class Gate:
    """A least accuracy that was asked for, and whether it was reached.

    Attributes:
        model: Name of the model.
        condition: "clean", or a norm and a radius such as "linf:8/255".
        bar: The least accuracy, 0 to 1.
        verdict: "pass" or "fail" at the audit's confidence, "open" if the images do not decide it.
        decided_after: Images after which it was decided; all of them if it was not.
        images: Images that the audit judged in all.
        robust: How many of them withstood.
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
        """The accuracy that was measured, 0 to 1; 0 without images."""
        return self.robust / self.images if self.images else 0.0

    @property
    def missed(self) -> bool:
        """Whether the bar is missed: for certain, or as measured where the images are too few."""
        return self.verdict == "fail" or (self.verdict == "open" and self.share < self.bar)

    @staticmethod
    def read(message: audit_pb2.GateOutcome, images: int) -> Gate:
        """Reads the message of the contract.

        Args:
            message: A gate and its outcome.
            images: Images that the audit judged in all.

        Raises:
            Internal: The verdict is one that this client does not know.
        """
        gate = message.gate
        condition = condition_name(_NORMS[gate.norm] if gate.epsilon else "", gate.epsilon)
        return Gate(
            model=gate.model,
            condition=condition,
            bar=gate.bar,
            verdict=_known(_GATES, message.verdict),
            decided_after=message.images,
            images=images,
            robust=message.robust,
        )


@dataclass(frozen=True, eq=False)
class AuditReport:
    """How robust networks are, and whether that can be believed.

    Attributes:
        operation: Name of the audit, by which `service.audit_report` finds it again.
        verdict: "valid" if every check of the audit on itself passed, else "suspect": the figures
            may flatter a network.
        gates: The least accuracies that were asked for, and whether they were reached.
        provenance: Where the figures came from, one a model.
        json_text: The whole report by its published schema, as JSON.
        report: The whole report as plain values.
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
        """Reads the operation's packed response.

        Args:
            data: The packed message.
            caller: The connection, over which files of the report are read.
            operation: Name of the audit.

        Raises:
            Internal: The server's report is no JSON, or does not say how many images it judged.
        """
        message = audit_pb2.AuditResponse.FromString(data)
        try:
            report = json.loads(message.report_json)
        except ValueError as error:
            raise Internal(f"the server sent a broken report: {error}") from None
        if not isinstance(report, dict) or not isinstance(images := report.get("images"), int):
            raise Internal("the server sent a report that does not say how many images it judged")
        return AuditReport(
            operation=operation,
            verdict=_known(_VERDICTS, message.verdict),
            gates=tuple(Gate.read(gate, images) for gate in message.gates),
            provenance=tuple(Provenance.read(one) for one in message.provenance),
            json_text=message.report_json,
            report=report,
            _caller=caller,
        )

    @property
    def passed(self) -> bool:
        """Whether no gate failed. Gates that the images do not decide have not failed: see
        Gate.missed.
        """
        return all(gate.verdict != "fail" for gate in self.gates)

    def to_json(self, path: str | Path) -> Path:
        """Saves the report as JSON by its published schema.

        Args:
            path: Where to; folders that are missing are made.

        Returns:
            The path.

        Raises:
            OSError: The file cannot be written.
        """
        return write_whole(path, [self.json_text.encode()])

    def to_html(self, path: str | Path, *, timeout: float | None = None) -> Path:
        """Saves one self-contained page: curves, tables, a gallery, the checks and all settings.

        Args:
            path: Where to; folders that are missing are made.
            timeout: Seconds, None for the connection's; likewise in the methods below.

        Returns:
            The path.

        Raises:
            OperationNotFound: The server has forgotten the audit; likewise in the methods below.
            OSError: The file cannot be written.
        """
        return self._fetch(audit_pb2.REPORT_FORMAT_HTML, path, timeout)

    def to_junit(self, path: str | Path, *, timeout: float | None = None) -> Path:
        """Saves gates and checks as JUnit test cases, and returns the path."""
        return self._fetch(audit_pb2.REPORT_FORMAT_JUNIT, path, timeout)

    def to_parquet(self, path: str | Path, *, timeout: float | None = None) -> Path:
        """Saves a table (parquet) of one row an image and network, and returns the path."""
        return self._fetch(audit_pb2.REPORT_FORMAT_PARQUET, path, timeout)

    def to_examples(self, path: str | Path, *, timeout: float | None = None) -> Path:
        """Saves the adversarial images as a table (parquet), and returns the path: one PNG file a
        row, with the image, network, threat, epsilon and attack.
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
        """Saves a form of the report that the server makes, as its parts arrive."""
        stub = robustness_pb2_grpc.RobustnessServiceStub(self._caller.channel)
        request = audit_pb2.ReadAuditReportRequest(operation=self.operation, format=form)
        with closing(self._caller.stream(stub.ReadAuditReport, request, timeout)) as responses:
            return write_whole(path, (response.data for response in responses))


def gate_row(gate: Gate) -> tuple[str, ...]:
    """The cells of a gate under `audit_table.GATE_HEADER`."""
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


def _known(words: dict[int, Any], value: int) -> Any:
    """The word of an enum's value. Raises Internal for a value of a later server."""
    if value not in words:
        raise Internal(f"the server sent a verdict that this client does not know: {value}")
    return words[value]
