"""Who is let in: each call is told whose it is before its request is read, and again while it
lasts.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from service.auth.authority import WAY_ON, Authority, Known
from service.auth.certificates import subject_of
from service.auth.errors import AccessError, PermissionDenied, Unauthenticated
from service.auth.identity import EVERYONE, NOBODY, Identity
from service.rpc.context import Context
from service.rpc.roles import least_role

AUTHORIZATION = "authorization"  # the metadata that a token comes in
LOOK_AGAIN_SECONDS = 0.5  # between two looks whether the keys of running calls are still good

Metadata = Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Caller:
    """Who makes a call.

    Attributes:
        identity: theirs.
        known: by what; None for those whom nobody has asked.
    """

    identity: Identity
    known: Known | None = None


class Visit:
    """A call that lasts, and whether its caller may stay.

    Args:
        known: by what the caller is known.
        task: of the call.
    """

    def __init__(self, known: Known | None, task: "asyncio.Task[Any] | None") -> None:
        self.known, self._task = known, task
        self._ended: AccessError | None = None
        self._away = False

    def end(self, error: AccessError) -> None:
        """Have the call end with an error, at once or as soon as gRPC gives it back."""
        self._ended = error
        # A task that is cancelled in gRPC's hands would never tell its caller of its end.
        if self._task is not None and not self._away:
            self._task.cancel()

    def require(self) -> None:
        """Raise the error with which the call is to end, if it is."""
        if self._ended is not None:
            raise self._ended from None

    @contextmanager
    def away(self) -> Iterator[None]:
        """Give the call into gRPC's hands, as a generator does with what it yields."""
        self._away = True
        yield
        self._away = False
        self.require()


class Access:
    """Lets calls in by who makes them.

    Args:
        authority: knows the callers; None: everyone may do everything.
        certificates: whether callers show certificates.
        refused: told the reason of each refusal, for the metrics.
    """

    def __init__(
        self,
        authority: Authority | None,
        certificates: bool = False,
        refused: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._authority, self._certificates, self._refused = authority, certificates, refused
        self._inside = set[Visit]()

    async def by_metadata(self, method: str, metadata: Metadata) -> Caller | None:
        """Tell whose call it is by what stands before its request.

        Args:
            method: its full name.
            metadata: of the call.

        Returns:
            Who it is; None where a certificate has to tell.

        Raises:
            Unauthenticated, PermissionDenied, ProviderUnreachable: it is refused.
        """
        if self._authority is None:
            return Caller(EVERYONE)
        shown = next((value for key, value in metadata if key == AUTHORIZATION), None)
        with self._counted():
            if isinstance(shown, str):
                known = await self._authority.by_token(shown)
                return _may_call(method, known)
            if least_role(method) is None:
                return Caller(NOBODY)
            if self._certificates:
                return None
            raise Unauthenticated(f"no token was shown: {WAY_ON}")

    def by_certificate(self, method: str, context: Context) -> Caller:
        """Tell whose call it is by the certificate of its connection.

        Args:
            method: its full name.
            context: of the call.

        Returns:
            Who it is.

        Raises:
            Unauthenticated, PermissionDenied: it is refused.
        """
        assert self._authority is not None
        with self._counted():
            known = self._authority.by_certificate(subject_of(context.auth_context() or {}))
            return _may_call(method, known)

    @contextmanager
    def inside(self, by: Caller) -> Iterator["Visit"]:
        """Keep a look on the present task's call until the context ends: it ends when what its
        caller has shown is not good any more.

        Args:
            by: who calls.

        Yields:
            The visit, which has to be told while the call is in gRPC's hands.

        Raises:
            Unauthenticated: what the caller has shown is not good any more.
        """
        visit = Visit(by.known, asyncio.current_task())
        if by.known is not None:
            self._inside.add(visit)
        try:
            yield visit
        except asyncio.CancelledError:
            visit.require()
            raise
        finally:
            self._inside.discard(visit)

    async def look_again(self) -> None:
        """Look again and again whether what the callers inside have shown is still good."""
        while self._authority is not None:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            for visit in list(self._inside):
                try:
                    assert visit.known is not None
                    self._authority.require(visit.known)
                except AccessError as error:
                    self._refused(type(error).__name__)
                    self._inside.discard(visit)
                    visit.end(error)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except AccessError as error:
            self._refused(type(error).__name__)
            raise


def _may_call(method: str, known: Known) -> Caller:
    """Check that a caller may call a method. Raises PermissionDenied."""
    least, role = least_role(method), known.identity.role
    if least is not None and (role is None or role < least):
        has = "no role" if role is None else f"role {role.name.lower()}"
        raise PermissionDenied(
            known.identity,
            f"{known.identity.name} has {has}, and {method.rpartition('/')[2]} needs "
            f"{least.name.lower()}: who keeps the server gives roles in the auth file",
        )
    return Caller(known.identity, known)
