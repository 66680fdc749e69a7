"""The way in for event loops: connect() and the service behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from striate._api import models
from striate._api.context import Connection
from striate._rpc.loop_caller import LoopCaller
from striate._rpc.security import security
from striate._rpc.target import check_target
from striate.aio.awaited import Twin, awaited
from striate.aio.model import AsyncModel
from striate.aio.operation import AsyncOperation
from striate.service import Service

if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType

    import grpc

    from striate._api.operation import Operation


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
) -> AsyncService:
    """Opens a connection for the running event loop; use it as an async context manager, or close
    it. Arguments and errors are those of `striate.connect`.

    Args:
        target: Address of the server, "host:port".
        timeout: Seconds that each call may take unless it says otherwise, None for no limit.
        tls: Whether to speak TLS.
        ca: PEM file with the certificate of the authority that signed the server's.
        certificate: PEM file of your own certificate.
        key: PEM file of that certificate's private key.
        token: Your token; see `AsyncService.with_metadata` for one a request.
        credentials: Credentials of gRPC's own instead of all about TLS.
        metadata: Further (key, value) pairs sent with every call.

    Returns:
        The service.

    Raises:
        InvalidArgument: An argument cannot be used.
        RuntimeError: No event loop is running.
    """
    address = check_target(target)
    safe = security(address, tls, ca, certificate, key, token, credentials)
    return AsyncService(LoopCaller(address, timeout, safe, metadata))


class AsyncService(Twin[Service]):
    """A connection of one event loop to a server, see striate.Service, whose arguments, results and
    errors these methods have. A coroutine that is cancelled cancels its call on the server.
    """

    models = awaited(Service.models)
    datasets = awaited(Service.datasets)
    samples = awaited(Service.samples)
    health = awaited(Service.health)
    audit_report = awaited(Service.audit_report)

    def __init__(self, caller: LoopCaller) -> None:
        super().__init__(Service(caller), caller)
        self._connection = Connection(caller)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncService({self._caller.target!r})"

    async def close(self) -> None:
        """Cancels what runs and drops the connection. Operations go on."""
        await self._caller.aclose()

    def with_metadata(
        self, metadata: Sequence[tuple[str, str]] = (), *, token: str | None = None
    ) -> AsyncService:
        """Gives a service on the same connection that speaks for somebody else, see
        Service.with_metadata.

        Args:
            metadata: (key, value) pairs sent with every call instead of this one's of those keys.
            token: Whose token is sent, None for this one's, "" for nobody's.

        Returns:
            The service. Closing it closes this one too.

        Raises:
            InvalidArgument: The token is none, or would travel in the clear.
        """
        return AsyncService(self._caller.with_metadata(metadata, token))

    async def model(self, name: str, *, timeout: float | None = None) -> AsyncModel:
        """Gives the handle on a loaded model, see Service.model.

        Args:
            name: Name of the model.
            timeout: Seconds, None for the connection's default.

        Returns:
            The handle.

        Raises:
            ModelNotFound: No model is called so; the message has the nearest names.
        """
        context = await self.run(models.find, self._connection, name, timeout)
        return AsyncModel(context, self._caller)

    async def operations(self, *, timeout: float | None = None) -> list[AsyncOperation]:
        """Lists the operations that the server remembers.

        Args:
            timeout: Seconds, None for the connection's default.

        Returns:
            The operations.
        """
        found = await self.run(self._handle.operations, timeout=timeout)
        return [AsyncOperation(one, self._caller) for one in found]

    async def operation(self, name: str, *, timeout: float | None = None) -> AsyncOperation:
        """Finds an operation, also one of an earlier connection.

        Args:
            name: Name of the operation.
            timeout: Seconds, None for the connection's default.

        Returns:
            The operation.

        Raises:
            OperationNotFound: No operation is called so.
        """
        found = await self.run(self._handle.operation, name, timeout=timeout)
        return AsyncOperation(found, self._caller)

    async def audit(self, *args: Any, **settings: Any) -> AsyncOperation:
        """Starts to judge the robustness of networks, see Service.audit, on a data set of the
        server.

        Args:
            args: The positional arguments of Service.audit.
            settings: Its other arguments, but for `images` and `labels`.

        Returns:
            The operation.
        """
        started: Operation = await self.run(self._handle.audit, *args, **settings)
        return AsyncOperation(started, self._caller)

    async def build_index(self, *args: Any, **settings: Any) -> AsyncOperation:
        """Starts to build an exemplar index, see Service.build_index.

        Args:
            args: The positional arguments of Service.build_index.
            settings: Its other arguments.

        Returns:
            The operation.
        """
        started: Operation = await self.run(self._handle.build_index, *args, **settings)
        return AsyncOperation(started, self._caller)
