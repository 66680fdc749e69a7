"""Audits: started as operations, read as reports."""

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from google.longrunning.operations_pb2 import Operation

from interp.probe import Procedure
from service.audit import report_files
from service.audit.journal import REPORT, Journal, NoReport
from service.audit.run import AuditRun
from service.audit.spec import AuditProgress, AuditSpec
from service.auth.identity import current
from service.datasets import Datasets
from service.engine.job import T
from service.models.zoo import HostedModel, ModelZoo
from service.operations import OperationContext, OperationRunning, Operations
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import InvalidField, required
from service.rpc.wire import images as wire_images
from service.rpc.wire.robustness import audit as wire_audit
from service.rpc.wire.robustness import audit_response as wire_response
from service.rpc.wire.share import read_share
from service.state import Quarantine, Verified
from service.state.manifest import open_verified
from service.threads import in_daemon_thread
from striate.v1 import audit_pb2 as pb

AUDIT = "Audit"
CHUNK_BYTES = 2**20  # of a report in one message
_FILES = {
    pb.REPORT_FORMAT_UNSPECIFIED: REPORT,
    pb.REPORT_FORMAT_JSON: REPORT,
    pb.REPORT_FORMAT_HTML: report_files.HTML,
    pb.REPORT_FORMAT_JUNIT: report_files.JUNIT,
    pb.REPORT_FORMAT_PARQUET: report_files.IMAGES,
    pb.REPORT_FORMAT_EXAMPLES: report_files.EXAMPLES,
}


class AuditHandler:
    """Answers Audit and ReadAuditReport.

    Args:
        zoo: the models.
        compute: where attacks are computed and reports are read.
        datasets: the data sets.
        operations: where audits are started, and remembered.
        folder: where journals and reports are kept, one folder an operation.
        quarantine: where damaged ones go.
    """

    def __init__(
        self,
        zoo: ModelZoo,
        compute: Compute,
        datasets: Datasets,
        operations: Operations,
        folder: Path,
        quarantine: Quarantine | None = None,
    ) -> None:
        self._zoo, self._compute, self._datasets = zoo, compute, datasets
        self._operations, self._folder = operations, folder
        self._quarantine, self._verified = quarantine, Verified()
        operations.register(AUDIT, self._run, self._forget)

    async def audit(self, request: pb.AuditRequest, context: Context) -> Operation:
        """Check the request, and answer as soon as the operation is on disk.

        Args:
            request: models, a data set and what is tried.
            context: of the call.
        """
        shared = read_share(request.share)
        images = await in_daemon_thread(self._check, request)
        metadata = pb.AuditMetadata(
            models=request.models,
            dataset=request.dataset,
            images_total=images,
            stage="waiting",
            owner=current.get().name,
            share=shared,
        )
        return await self._operations.start(AUDIT, request, metadata, shared)

    async def read_audit_report(
        self, request: pb.ReadAuditReportRequest, context: Context
    ) -> AsyncIterator[pb.ReadAuditReportResponse]:
        """Send the file in pieces, read as fast as the caller takes them.

        Args:
            request: an operation and a format.
            context: of the call.
        """
        path = await self._report(request)
        file = await self._compute.run_in_pool(self._open, path, request.operation)
        try:
            while data := await self._compute.run_in_pool(file.read, CHUNK_BYTES):
                yield pb.ReadAuditReportResponse(data=data)
        finally:
            file.close()

    def _check(self, request: pb.AuditRequest) -> int:
        with self._assigned(request) as job:
            return job.images

    @contextmanager
    def _assigned(self, request: pb.AuditRequest) -> Iterator[AuditSpec]:
        """What a request asks for; its models cannot be unloaded meanwhile. Opening its data set
        may download it, and hang.
        """
        with ExitStack() as models:
            lent = {
                name: models.enter_context(self._zoo.use(name))
                for name in wire_audit.read_model_names(request)
            }
            audited = list(lent.values())
            reference = wire_audit.read_reference_name(request)
            if reference and reference not in lent:
                lent[reference] = models.enter_context(self._zoo.use(reference))
            dataset = self._datasets.get(required("dataset", request.dataset))
            dataset = dataset.skipping_bad(request.skip_bad)
            yield wire_audit.read_audit(
                request, audited, dataset, self._compute.engine.limits.chunk, lent.get(reference)
            )

    def _run(self, packed: Any, context: OperationContext) -> pb.AuditResponse:
        """Run the operation, in a thread of its own; after a restart it goes on where it
        stopped.
        """
        request = pb.AuditRequest()
        packed.Unpack(request)
        journal = Journal(self._folder_of(context.name), self._quarantine)

        def report_progress(progress: AuditProgress, lasting: bool) -> None:
            context.progress(wire_response.metadata(request, progress), lasting)

        if not (
            journal.folder / REPORT
        ).exists():  # else the last server died before it could say so
            with self._assigned(request) as job:
                audit = AuditRun(job, journal, self._submit, report_progress, context.cancelled)
                audit.run()
                report_files.write_reports(audit)
        with self._open(journal.folder / REPORT, context.name) as report:
            return wire_response.response(report.read().decode())

    def _open(self, path: Path, operation: str) -> BinaryIO:
        """Open a report that is as it was written. Raises DataLost."""
        return open_verified(
            path,
            self._verified,
            f"{path.name} of {operation!r} is not what was written any more, and is not served: "
            f"audit again",
        )

    def _submit(self, model: HostedModel, procedure: Procedure[T], rows: int) -> "Future[T]":
        memory = wire_images.image_bytes(rows, model, wire_images.STATE_COPIES)
        return self._compute.submit_patiently(model, procedure, memory, deterministic=True)

    async def _report(self, request: pb.ReadAuditReportRequest) -> Path:
        """The file of a report. Raises UnknownOperation, OperationRunning, NoReport,
        InvalidField.
        """
        operation = await self._operations.get(required("operation", request.operation))
        if request.format not in _FILES:
            raise InvalidField("format", "must be one of ReportFormat")
        if not operation.metadata.Is(pb.AuditMetadata.DESCRIPTOR):
            raise InvalidField("operation", f"{operation.name!r} is not an audit")
        if not operation.done:
            raise OperationRunning(f"{operation.name!r} has not ended: there is no report yet")
        path = self._folder_of(operation.name) / _FILES[request.format]
        if operation.HasField("error") or not await self._compute.run_in_pool(path.exists):
            raise NoReport(
                f"{operation.name!r} has no report: "
                f"{operation.error.message or 'its files are gone'}"
            )
        return path

    def _folder_of(self, operation: str) -> Path:
        return self._folder / re.sub(r"[^0-9a-f]", "", operation.rpartition("/")[2])

    def _forget(self, operation: str) -> None:
        folder = self._folder_of(operation)
        if folder.exists():
            shutil.rmtree(folder)
