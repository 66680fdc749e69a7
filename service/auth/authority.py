"""Tells who calls by what they show: a token of the auth file, one that an identity provider has
signed, or a client certificate.
"""

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from service.auth import file
from service.auth.errors import ProviderUnreachable, Unauthenticated
from service.auth.file import AuthFile, CertificateEntry, Grant, ProviderEntry, TokenEntry
from service.auth.identity import Identity
from service.auth.oidc import Provider, issuer_of
from service.auth.quota import UNLIMITED
from service.auth.reread import Reread
from service.auth.tokens import BEARER, MOST_CHARACTERS, digest

REMEMBERED = 4096  # checked tokens of identity providers
REMEMBER_SECONDS = 300.0  # after which one is checked again: its key may have been withdrawn
MOST_WAITING = 64  # tokens that wait for an identity provider's keys
WAY_ON = (
    "pass token=, --token or STRIATE_TOKEN; who keeps the server makes one with `striate-server "
    "token`"
)


@dataclass(frozen=True)
class Known:
    """Somebody who has shown who they are.

    Attributes:
        identity: theirs.
        entry: of the auth file, by which they are known.
        ends: when that is over, in seconds since 1970; None: never.
    """

    identity: Identity
    entry: Grant | ProviderEntry
    ends: float | None


@dataclass(frozen=True)
class _Keys:
    """What an auth file says, by what callers show. Equal where the file says the same."""

    said: AuthFile
    tokens: Mapping[str, TokenEntry] = field(compare=False)
    certificates: Mapping[str, CertificateEntry] = field(compare=False)
    providers: Mapping[str, Provider] = field(compare=False)  # by issuer
    names: frozenset[str] = field(compare=False)

    def now(self, entry: Grant | ProviderEntry) -> Grant | ProviderEntry | None:
        """What the file says now in the place of an entry that it had."""
        if isinstance(entry, TokenEntry):
            return self.tokens.get(entry.sha256)
        if isinstance(entry, CertificateEntry):
            return self.certificates.get(entry.subject)
        provider = self.providers.get(entry.issuer) if isinstance(entry, ProviderEntry) else None
        return None if provider is None else provider.entry


def _read(path: Path) -> _Keys:
    said = file.read(path)
    return _Keys(
        said,
        {entry.sha256: entry for entry in said.tokens},
        {entry.subject: entry for entry in said.certificates},
        {entry.issuer: Provider(entry) for entry in said.providers},
        frozenset(entry.name for entry in (*said.tokens, *said.certificates)),
    )


class Authority:
    """Knows the callers of an auth file, which is read again when it changes. Its methods are
    called on the event loop.

    Args:
        path: of the file.

    Raises:
        FilesUnusable: the file, or one that it names, cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._file = Reread([path], lambda: _read(path), "auth file")
        file.warn_if_shown(path)
        # One thread, so that those who wait for a provider hold up nobody else.
        self._thread, self._waiting = ThreadPoolExecutor(1, "identity-provider"), 0
        self._remembered = OrderedDict[str, tuple[Known, float]]()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def names(self) -> frozenset[str]:
        """Return the names of the callers that the file itself names."""
        return self._file.current().names

    async def by_token(self, authorization: str) -> Known:
        """Tell who has a token.

        Args:
            authorization: "Bearer TOKEN".

        Returns:
            Who it is.

        Raises:
            Unauthenticated: the token is none of those known, or has expired.
            ProviderUnreachable: the keys to check it cannot be had at present.
        """
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != BEARER or not token or len(token) > MOST_CHARACTERS:
            raise Unauthenticated(f"the authorization must be `Bearer TOKEN`: {WAY_ON}")
        keys, key = self._file.current(), digest(token)
        entry = keys.tokens.get(key)
        # The look-up is of a digest, which nobody who guesses tokens can steer; the comparison that
        # counts takes the same time wherever the two differ.
        if entry is not None and hmac.compare_digest(entry.sha256, key):
            return _granted(entry)
        provider = keys.providers.get(issuer_of(token)) if keys.providers else None
        if provider is None:
            raise Unauthenticated(f"the token is not known here, or was taken out: {WAY_ON}")
        known, until = self._remembered.get(key, (None, 0.0))
        if known is None or known.entry != provider.entry or time.monotonic() > until:
            known = await self._checked(provider, token)
            self._remembered[key] = known, time.monotonic() + REMEMBER_SECONDS
            while len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        _require_time(known)
        return known

    def by_certificate(self, subject: str) -> Known:
        """Tell who has a client certificate, which the TLS handshake has checked.

        Args:
            subject: of the certificate, as RFC 4514 writes it.

        Returns:
            Who it is.

        Raises:
            Unauthenticated: the subject is none of those known, or has expired.
        """
        entry = self._file.current().certificates.get(subject)
        if entry is None:
            raise Unauthenticated(
                f"the certificate's subject {subject[:200]!r} has no role here: who keeps the "
                f"server gives it one under [[certificates]] of the auth file"
            )
        return _granted(entry)

    def require(self, known: Known) -> None:
        """Check that what somebody has shown is still good, in the midst of a call.

        Args:
            known: from the call's begin.

        Raises:
            Unauthenticated: it was taken out or changed, or has expired.
        """
        now = self._file.current().now(known.entry)
        if now is None or _without_quota(now) != _without_quota(known.entry):
            raise Unauthenticated(f"the key of {known.identity.name} was taken out, or changed")
        _require_time(known)

    async def _checked(self, provider: Provider, token: str) -> Known:
        """Have a provider's token checked, in the thread."""
        if self._waiting >= MOST_WAITING:
            raise ProviderUnreachable(provider.entry.name)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            found, ends = await loop.run_in_executor(self._thread, provider.identify, token)
        finally:
            self._waiting -= 1
        return Known(found, provider.entry, ends)


def _without_quota(entry: Grant | ProviderEntry) -> BaseModel:
    """What an entry says of who may do what: a call does not end because less may be had."""
    return entry.model_copy(update=dict(UNLIMITED))


def _granted(entry: Grant) -> Known:
    """Who has an entry. Raises Unauthenticated where it has expired."""
    ends = None if entry.expires is None else entry.expires.timestamp()
    known = Known(entry.identity, entry, ends)
    _require_time(known)
    return known


def _require_time(known: Known) -> None:
    if known.ends is not None and time.time() >= known.ends:
        raise Unauthenticated(f"the key of {known.identity.name} has expired: get a new one")
