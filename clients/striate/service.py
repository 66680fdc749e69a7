"""The way in: connect() and the service behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

from striate._api import audits, datasets, exemplars, health, models
from striate._api.context import Connection
from striate._api.operation import Operation
from striate._api.usage import get_usage
from striate._rpc.caller import Caller
from striate._rpc.security import security
from striate._rpc.target import check_target
from striate.errors import invalid
from striate.model import Model

if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType

    import grpc

    from striate._requests.audit import Gates, Threats
    from striate.attacks import Attack
    from striate.images import Images
    from striate.images.labels import Labels
    from striate.results.audit import AuditReport
    from striate.results.datasets import DatasetInfo, Samples
    from striate.results.models import ModelInfo
    from striate.results.usage import Usage


def connect(
    target: str,
    *,
    timeout: float | None = None,
    tls: bool | None = None,
    ca: str | PathLike[str] | None = None,
    certificate: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
    token: str | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    metadata: Sequence[tuple[str, str]] = (),
) -> Service:
    """Opens a connection to a server; use it as a context manager, or close it.

    The server is first contacted by the first call; calls that find it unavailable or its queue
    full are retried for a moment.

    Args:
        target: Address of the server, "host:port".
        timeout: Seconds that each call may take unless it says otherwise, None for no limit.
        tls: Whether to speak TLS, None for whatever STRIATE_TLS says, and for yes where `ca` or
            `certificate` is given.
        ca: PEM file with the certificate of the authority that signed the server's, None for
            STRIATE_CA, or else for the public authorities.
        certificate: PEM file of your own certificate, for servers that ask for one, None for
            STRIATE_CERTIFICATE.
        key: PEM file of that certificate's private key, None for STRIATE_KEY.
        token: Your token, as the server's keeper handed it out, None for STRIATE_TOKEN. It is sent
            over TLS alone, or within this machine.
        credentials: Credentials of gRPC's own instead of all about TLS.
        metadata: Further (key, value) pairs sent with every call.

    Returns:
        The service.

    Raises:
        InvalidArgument: `target` has no port, or is a URL; a file cannot be used; or the token
            would travel in the clear.
    """
    address = check_target(target)
    safe = security(address, tls, ca, certificate, key, token, credentials)
    return Service(Caller(address, timeout, safe, metadata))


class Service:
    """A connection to a server.

    Safe to share among threads; other processes, such as a data loader's workers, open their own.
    Every call takes `timeout` in seconds (None: the connection's), raises a StriateError, and on
    Ctrl-C is cancelled on the server too.
    """

    def __init__(self, caller: Caller) -> None:
        self._connection = Connection(caller)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Service({self._connection.caller.target!r})"

    def close(self) -> None:
        """Cancels what runs and drops the connection. Operations go on."""
        self._connection.caller.close()

    def with_metadata(
        self, metadata: Sequence[tuple[str, str]] = (), *, token: str | None = None
    ) -> Service:
        """Gives a service on the same connection that speaks for somebody else.

        Args:
            metadata: (key, value) pairs sent with every call instead of this one's of those keys.
            token: Whose token is sent, None for this one's, "" for nobody's.

        Returns:
            The service. Closing it closes this one too.

        Raises:
            InvalidArgument: The token is none, or would travel in the clear.
        """
        return Service(self._connection.caller.with_metadata(metadata, token))

    def models(
        self, include_available: bool = False, *, timeout: float | None = None
    ) -> list[ModelInfo]:
        """Lists the loaded models.

        Args:
            include_available: Also list those that `load` knows by name.
            timeout: Seconds, None for the connection's default.

        Returns:
            The models, in the order of their names.
        """
        return models.list_models(self._connection, include_available, timeout)

    def model(self, name: str, *, timeout: float | None = None) -> Model:
        """Gives the handle on a loaded model.

        Args:
            name: Name of the model.
            timeout: Seconds, None for the connection's default.

        Returns:
            The handle.

        Raises:
            ModelNotFound: No model is called so; the message has the nearest names.
        """
        return Model(models.find(self._connection, name, timeout))

    def load(
        self,
        name: str,
        weights: str = "",
        *,
        labels: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Model:
        """Loads a model, or finds it loaded.

        Args:
            name: Name of the model; "hf:ORGANIZATION/REPOSITORY" for one of Hugging Face's hub,
                which is hosted under "hf.ORGANIZATION.REPOSITORY", the handle's name; "timm:NAME"
                for one of timm's registry, hosted under "timm.NAME".
            weights: "" for the settings' or the published ones, "random", or a member of
                torchvision's Weights enum.
            labels: Class names in the order of the logits, as many as the network has, or two for
                a network of one output. Default: those that are known.
            timeout: Seconds, None for the connection's default.

        Returns:
            The handle.

        Raises:
            ModelNotFound: No model is called so; the message has the nearest names.
            ModelNotLoadable: It cannot be loaded, e.g. because its weights are not at hand.
        """
        if isinstance(labels, str):
            raise invalid("labels", f"are a sequence of names, not one text: [{labels!r}, ...]")
        return Model(models.load(self._connection, name, weights, labels, timeout))

    def unload(self, name: str, *, timeout: float | None = None) -> int:
        """Frees a model's memory.

        Args:
            name: Name of the model.
            timeout: Seconds, None for the connection's default.

        Returns:
            The bytes given back.

        Raises:
            ModelBusy: Jobs use it.
            ModelNotFound: No model is called so.
        """
        return models.unload(self._connection, name, timeout)

    def datasets(
        self, model: str | None = None, *, timeout: float | None = None
    ) -> list[DatasetInfo]:
        """Lists the data sets of the server.

        Args:
            model: Name of a model, whose classes labels are mapped to and whose exemplar indexes
                are listed; or None.
            timeout: Seconds, None for the connection's default.

        Returns:
            The data sets.

        Raises:
            ModelNotFound: No model is called so.
        """
        return datasets.list_datasets(self._connection, model, timeout)

    def samples(
        self,
        dataset: str,
        first: int = 0,
        count: int = 16,
        *,
        skip_bad: bool = False,
        timeout: float | None = None,
    ) -> Samples:
        """Reads consecutive images of a data set.

        Args:
            dataset: Name of the data set.
            first: Position of the first image, from 0.
            count: Images, at least 1.
            skip_bad: Leave out images that cannot be read or decoded, and list them in
                `Samples.left_out`; else the first that cannot be read is an error. The data set's
                own `?on_error=skip` says so, too.
            timeout: Seconds, None for the connection's default.

        Returns:
            The images, fewer at the data set's end and where some are left out. They can be passed
            on as images.

        Raises:
            DatasetNotFound: The server reads no such data set.
            DatasetUnreadable: It, or one of the images, cannot be read; the message names it.
            InvalidArgument: A value is out of its range.
        """
        return datasets.read_samples(self._connection, dataset, first, count, timeout, skip_bad)

    def upload(
        self,
        images: Images,
        labels: Labels,
        classes: Sequence[str] | None = None,
        *,
        share: str | Iterable[str] = (),
        timeout: float | None = None,
    ) -> str:
        """Keeps images and labels on the server as a data set for audits and exemplars.

        Args:
            images: Files or uint8, see `striate.images.as_batch`; an iterable is read as it
                travels.
            labels: Class index of each image, or a name of `classes`, or one for all.
            classes: Names of the classes by index, None for their numbers.
            share: Who may use it beside its owner and admins, who alone may delete it: callers'
                names, or "read", "compute" or "admin" for all who have that role or more.
            timeout: Seconds, None for the connection's default.

        Returns:
            Name of the data set; the same content has the same name.

        Raises:
            InvalidArgument: Images are neither files nor uint8, or labels do not fit them.
            BadImage: An image cannot be read.
            UploadTooLarge: It is larger than the server takes.
            StorageFull: The server's disk has no room for it.
            BaseException: Whatever the iterables raise.
        """
        return datasets.upload(
            self._connection, images, labels, list(classes or ()), timeout, share=share
        )

    def delete_dataset(self, name: str, *, timeout: float | None = None) -> int:
        """Removes an uploaded data set from the server.

        Args:
            name: Of the data set, as `upload` returned it.
            timeout: Seconds, None for the connection's default.

        Returns:
            The bytes of the server's disk that are free again.

        Raises:
            DatasetNotFound: The server has no such data set.
            DatasetBusy: Operations use it.
            InvalidArgument: It is no upload, but the settings' own.
        """
        return datasets.delete(self._connection, name, timeout)

    def build_index(
        self,
        model: str,
        dataset: str,
        layers: Sequence[str],
        k: int = 9,
        limit: int = 0,
        *,
        class_k: int | None = None,
        shard_images: int | None = None,
        quantiles: Sequence[float] | None = None,
        skip_bad: bool = False,
        share: str | Iterable[str] = (),
        timeout: float | None = None,
    ) -> Operation:
        """Starts to build an exemplar index, in one pass over a data set.

        It is what `Model.exemplars` and `Model.statistics` look into.

        Args:
            model: Name of the model.
            dataset: Name of the data set.
            layers: Names of the layers.
            k: Images kept a unit and order, 1 to 100.
            limit: Read only the first so many images, 0 for all.
            class_k: Images kept a unit and class, 0 to 100, None for k, or 1 if there are more than
                100 classes.
            shard_images: Images after which what was found is saved, 64 to 65536, None for 4096.
            quantiles: Up to 32 shares of the images from 0 to 1 whose images are kept, None for
                nine from 0.01 to 0.99.
            skip_bad: Leave out images that cannot be used and list them, see
                `IndexReport.left_out`; else one such image ends the build.
            share: Who may see the operation beside its owner and admins: callers' names, or "read",
                "compute" or "admin" for all who have that role or more. The index itself is for
                all who may read the data set.
            timeout: Seconds, None for the connection's default.

        Returns:
            The operation; `.wait()` for the IndexReport.

        Raises:
            ModelNotFound: No model is called so.
            DatasetNotFound: The server reads no such data set.
            LayerNotFound: The model has no such layer.
            InvalidArgument: A value is out of its range.
        """
        return exemplars.build_index(
            self._connection,
            model,
            dataset,
            layers,
            k=k,
            limit=limit,
            class_k=class_k,
            shard_images=shard_images,
            quantiles=quantiles,
            skip_bad=skip_bad,
            share=share,
            timeout=timeout,
        )

    def audit(
        self,
        models: str | Sequence[str],
        dataset: str | None = None,
        *,
        images: Images | None = None,
        labels: Labels | None = None,
        threats: Threats | None = None,
        attacks: Iterable[Attack | str] | None = None,
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
        skip_bad: bool = False,
        mce_reference: str | None = None,
        share: str | Iterable[str] = (),
        timeout: float | None = None,
    ) -> Operation:
        """Starts to judge the robustness of one network, or to compare several.

        It goes on without the connection, and after restarts of the server.

        Args:
            models: Names of 1 to 8 loaded models.
            dataset: Name of a labelled data set of the server.
            images: Instead of one, the caller's own images, which are uploaded first: files or
                uint8.
            labels: Their labels, as indices or names of the first model's classes.
            threats: Norm -> rising radii, e.g. {"linf": [1/255, "8/255"]}, None for Linf at 1, 2, 4
                and 8/255.
            attacks: Attacks, e.g. [striate.PGD(steps=100), striate.APGD()], each run under every
                threat: their own epsilon and norm are left out. None for PGD, and APGD on the
                margin.
            corruptions: Names of corruptions, or "all".
            severities: Severities of corruptions, 1 to 5; none for all.
            augmentations: Names of augmentations, or "all".
            limit: Judge so many images of a random order, 0 for all.
            seed: Seed of that order and all else.
            confidence: Confidence of intervals and gates, above 0.5 and below 1, None for 0.95.
            gates: Least accuracies, e.g. {"clean": 0.8, "linf:8/255": 0.4, "MODEL@l2:0.5": 0.3}:
                the audit ends as soon as all are decided.
            budget_gradients: End after so many image-gradients, 0 for no limit.
            float_images: Attack with float32 pixels, not 8-bit ones.
            shard_images: Images that a restart may have to do again, 8 to 1024, None for 64.
            skip_checks: Do not check the audit itself: it is then suspect.
            skip_bad: Leave out images that cannot be used and list them, see
                `AuditReport.left_out`; else one such image ends the audit.
            mce_reference: Name of a loaded model whose errors are the unit of mCE and relative mCE
                (Hendrycks & Dietterich 2019, section 4.2), None for neither. One of `models`, or
                another, which is then shown the clean and the corrupted images alone.
            share: Who may see the operation and read its report beside its owner and admins, who
                alone may cancel and delete it: callers' names, or "read", "compute" or "admin" for
                all who have that role or more.
            timeout: Seconds for the start, None for the connection's default.

        Returns:
            The operation; `.wait()` for the AuditReport.

        Raises:
            InvalidArgument: A value is out of its range.
            ModelNotFound: No model is called so.
            DatasetNotFound: The server reads no such data set.
        """
        return audits.audit(
            self._connection,
            models,
            dataset,
            images,
            labels,
            timeout,
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
            skip_bad=skip_bad,
            mce_reference=mce_reference,
            share=share,
        )

    def audit_report(self, operation: str, *, timeout: float | None = None) -> AuditReport:
        """Gives the report of an audit, also one of an earlier connection; waits for its end.

        Args:
            operation: Name of the audit's operation.
            timeout: Seconds, None for as long as it takes.

        Returns:
            The report.

        Raises:
            OperationNotFound: No operation is called so.
            InvalidArgument: The operation is no audit.
            StriateError: The audit failed.
        """
        return audits.report(self._connection, operation, timeout)

    def operations(self, *, timeout: float | None = None) -> list[Operation]:
        """Lists the operations that the server remembers.

        Args:
            timeout: Seconds, None for the connection's default.

        Returns:
            The operations.
        """
        calls = self._connection.operations
        return [Operation(calls, state) for state in calls.list(timeout)]

    def operation(self, name: str, *, timeout: float | None = None) -> Operation:
        """Finds an operation, also one of an earlier connection.

        Args:
            name: Name of the operation.
            timeout: Seconds, None for the connection's default.

        Returns:
            The operation.

        Raises:
            OperationNotFound: No operation is called so.
        """
        calls = self._connection.operations
        return Operation(calls, calls.get(name, timeout))

    def health(
        self, model: str | None = None, *, ready: bool = False, timeout: float | None = None
    ) -> str:
        """Asks whether the server, or one model, serves.

        Args:
            model: Name of the model, None for the server.
            ready: Ask whether the server gets work done: its device does not hang and it is not
                about to end. Without it the server is alive as long as it answers. Not with
                `model`.
            timeout: Seconds, None for the connection's default.

        Returns:
            "SERVING", "NOT_SERVING", "UNKNOWN" or "SERVICE_UNKNOWN" (no such model, or a server
            of a version that does not tell whether it is ready).

        Raises:
            InvalidArgument: Both a model and `ready` are given.
        """
        if model is not None and ready:
            raise invalid("ready", "is asked of the server, not of a model")
        service = health.READINESS if ready else model or ""
        return health.check(self._connection.caller, service, timeout)

    def usage(self, name: str | None = None, *, timeout: float | None = None) -> Usage:
        """Asks what the caller may have, has and has had, and what waits before them.

        Args:
            name: Of another caller, for admins; None for one's own usage.
            timeout: Seconds, None for the connection's default.

        Raises:
            PermissionDenied: Another's usage is told to admins alone.
        """
        return get_usage(self._connection, name or "", timeout)

    @property
    def version(self) -> str:
        """The server's version, e.g. "0.1.0"; empty if it does not say."""
        caller = self._connection.caller
        if not caller.server_version:
            self.health()
        return caller.server_version
