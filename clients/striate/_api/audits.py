"""Audits: the part of the connection that judges networks on a data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from striate._api.operation import Operation, Operations
from striate._requests import audit as audit_request
from striate._requests import upload
from striate._requests.audit import Gates, Threats
from striate.attacks import Attack
from striate.errors import invalid
from striate.labels import Labels
from striate.results.audit import AuditReport

if TYPE_CHECKING:
    from striate._rpc.caller import Caller
    from striate.images import Images
    from striate.model import Model
    from striate.v1 import robustness_pb2_grpc


class Auditing:
    """The audits of a connection."""

    _caller: Caller
    _operations: Operations
    _robustness: robustness_pb2_grpc.RobustnessServiceStub

    if TYPE_CHECKING:  # of the connection

        def model(self, name: str, *, timeout: float | None = None) -> Model: ...
        def operation(self, name: str, *, timeout: float | None = None) -> Operation: ...

    def audit(
        self,
        models: str | Sequence[str],
        dataset: str | None = None,
        *,
        images: Images | None = None,
        labels: Labels | None = None,
        threats: Threats | None = None,
        attacks: Iterable[Attack] | None = None,
        corruptions: str | Iterable[str] = (),
        severities: Iterable[int] = (),
        augmentations: str | Iterable[str] = (),
        limit: int = 0,
        seed: int = 0,
        confidence: float | None = None,
        gates: Gates | None = None,
        budget_gradients: int = 0,
        float_images: bool = False,
        shard_images: int | None = None,
        skip_checks: bool = False,
        timeout: float | None = None,
    ) -> Operation:
        """Starts to judge one network or to compare several; `.wait()` for the AuditReport. It goes
        on without the connection, and after restarts of the server.

        models: names of 1 to 8 loaded models; dataset: name of a labelled data set of the server;
        images, labels: instead of one, the caller's own, which are uploaded first (files or uint8;
        labels as indices or names of the first model's classes); threats: norm -> rising radii,
        e.g. {"linf": [1/255, "8/255"]} (server's default Linf at 1, 2, 4 and 8/255); attacks: e.g.
        [striate.PGD(steps=100), striate.APGD()], each run under every threat: their own epsilon and
        norm are left out (default PGD and APGD on the margin); corruptions, augmentations: names,
        or "all" (default none); severities: of corruptions, 1 to 5 (all); limit: judge so many
        images of a random order, 0 for all; seed: of that order and all else; confidence: of
        intervals and gates (0.95); gates: least accuracies, e.g. {"clean": 0.8, "linf:8/255": 0.4,
        "MODEL@l2:0.5": 0.3}: the audit ends as soon as all are decided; budget_gradients: end after
        so many image-gradients, 0 for no limit; float_images: attack with float32 pixels, not 8-bit
        ones; shard_images: 8 to 1024, what a restart may have to do again (64); skip_checks: do not
        check the audit itself: it is then suspect. Raises InvalidArgument, ModelNotFound,
        DatasetNotFound.
        """
        names = audit_request.as_models(models)
        if (dataset is None) == (images is None):
            raise invalid("dataset", "must be named, or images given in its place; not both")
        request = audit_request.build(
            names,
            dataset or "",
            threats=threats,
            attacks=attacks,
            corruptions=corruptions,
            severities=severities,
            augmentations=augmentations,
            limit=limit,
            seed=seed,
            confidence=confidence,
            gates=gates,
            budget_gradients=budget_gradients,
            float_images=float_images,
            shard_images=shard_images,
            skip_checks=skip_checks,
        )
        deadline = self._caller.deadline(timeout)
        if images is not None:
            request.dataset = self._upload_for(names[0], images, labels, deadline.remaining())
        return Operation(
            self._operations,
            self._caller.unary(self._robustness.Audit, request, deadline.remaining()),
        )

    def upload(
        self,
        images: Images,
        labels: Labels,
        classes: Sequence[str] | None = None,
        *,
        timeout: float | None = None,
    ) -> str:
        """Keeps images and labels on the server as a data set for audits and exemplars, and returns
        its name; the same content has the same name.

        images: files or uint8, see `striate.images.as_batch`; an iterable is read as it travels;
        labels: class index of each image, or a name of `classes`, or one for all; classes: names of
        the classes by index, None for their numbers. Raises InvalidArgument, BadImage, and what the
        iterables raise.
        """
        names = list(classes or ())
        return self._caller.feed(
            self._robustness.UploadDataset, upload.parts(images, labels, names, names), timeout
        ).dataset

    def audit_report(self, operation: str, *, timeout: float | None = None) -> AuditReport:
        """The report of the audit of that name, also one of an earlier connection; waits for its
        end if need be.

        Raises OperationNotFound, the audit's own error if it failed, and InvalidArgument if the
        operation is no audit.
        """
        report: Any = self.operation(operation, timeout=timeout).wait(timeout=timeout)
        if not isinstance(report, AuditReport):
            raise invalid("operation", f"{operation!r} is no audit")
        return report

    def _upload_for(
        self, model: str, images: Images, labels: Labels | None, timeout: float | None
    ) -> str:
        """Uploads images whose labels are classes of a model."""
        if labels is None:
            raise invalid("labels", "are required with images")
        classes = self.model(model, timeout=timeout).classes
        return self._caller.feed(
            self._robustness.UploadDataset, upload.parts(images, labels, classes, classes), timeout
        ).dataset
