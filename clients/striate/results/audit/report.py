"""The report of an audit."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from striate._formats import audit_table, notebook
from striate._formats.files import write_whole
from striate._rpc.caller import Caller
from striate.errors import Internal
from striate.provenance import Provenance
from striate.results.audit.comparison import Comparison
from striate.results.audit.corruption_error import MeanCorruptionError
from striate.results.audit.gate import Gate, gate_row, known_word
from striate.results.datasets import LeftOutImage
from striate.v1 import audit_pb2, robustness_pb2_grpc

VerdictName = Literal["valid", "suspect"]

_VERDICTS: dict[int, VerdictName] = {
    audit_pb2.AUDIT_VERDICT_VALID: "valid",
    audit_pb2.AUDIT_VERDICT_SUSPECT: "suspect",
}


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

    @property
    def images_left_out(self) -> int:
        """How many images could not be used; they count in no figure."""
        return int(self._left_out().get("count", 0))

    @property
    def left_out(self) -> tuple[LeftOutImage, ...]:
        """The first hundred of these images, by number."""
        return tuple(LeftOutImage(**image) for image in self._left_out().get("images", ()))

    def _left_out(self) -> dict[str, Any]:
        dataset = self.report.get("dataset")
        found = dataset.get("left_out") if isinstance(dataset, dict) else None
        return found if isinstance(found, dict) else {}

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
            verdict=known_word(_VERDICTS, message.verdict),
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

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every two networks compared under every condition; none with one network."""
        return tuple(map(Comparison.read, self.report.get("comparisons", ())))

    @property
    def corruption_errors(self) -> tuple[MeanCorruptionError, ...]:
        """mCE and relative mCE of every model; none where the audit had no reference."""
        return MeanCorruptionError.read(self.report)

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
        """Saves verdicts, gates and checks as JUnit test cases, and returns the path."""
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
        """The verdict, the accuracies, the comparisons, the gates and what failed, as text."""
        return audit_table.as_text(
            self.report, self.verdict, [gate_row(gate) for gate in self.gates]
        )

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        tables = [(audit_table.header(self.report), audit_table.rows(self.report))]
        tables += audit_table.further_tables(self.report, [gate_row(gate) for gate in self.gates])
        return f"<p>{self.verdict}</p>" + "".join(notebook.table(*table) for table in tables)

    def _fetch(
        self, form: audit_pb2.ReportFormat.ValueType, path: str | Path, timeout: float | None
    ) -> Path:
        """Saves a form of the report that the server makes, as its parts arrive."""
        stub = robustness_pb2_grpc.RobustnessServiceStub(self._caller.channel)
        request = audit_pb2.ReadAuditReportRequest(operation=self.operation, format=form)
        with closing(self._caller.stream(stub.ReadAuditReport, request, timeout)) as responses:
            return write_whole(path, (response.data for response in responses))
