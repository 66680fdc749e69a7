"""Tokens that an OpenID Connect provider signs (RFC 7519, RFC 9068), checked with its public keys.

It needs PyJWT, the extra `oidc`.
"""

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from service.auth.errors import ProviderUnreachable, Unauthenticated
from service.auth.file import ProviderEntry, quota_of
from service.auth.identity import Identity, Role
from service.auth.reread import Reread
from service.process import packages

log = structlog.get_logger("striate")

FETCH_SECONDS = 5.0  # that the keys' address may take
KEYS_SECONDS = 300.0  # after which they are fetched again
UNKNOWN_KEY_SECONDS = 30.0  # after which an unknown key may have them fetched again
FAILED_SECONDS = 5.0  # after which an address that failed is tried again
MOST_NAME = 200  # characters of a caller's name


class Provider:
    """Checks the tokens of one identity provider. Blocks while keys are fetched.

    Args:
        entry: of the auth file.

    Raises:
        ValueError: PyJWT is not installed, or a file of keys cannot be read or holds none.
    """

    def __init__(self, entry: ProviderEntry) -> None:
        try:
            import jwt
        except ModuleNotFoundError:
            raise ValueError(
                f"provider {entry.name!r} needs PyJWT: {packages.extra('oidc')}"
            ) from None
        self._jwt, self.entry = jwt, entry
        self._failed = -FAILED_SECONDS
        self._client: jwt.PyJWKClient | None = None
        self._keys: Reread[dict[str, Any]] | None = None
        if entry.jwks.startswith(("http://", "https://")):
            self._client = jwt.PyJWKClient(
                entry.jwks,
                lifespan=KEYS_SECONDS,
                timeout=FETCH_SECONDS,
                cooldown_duration=UNKNOWN_KEY_SECONDS,
            )
        else:
            path = Path(entry.jwks)
            self._keys = Reread([path], lambda: self._of_file(path), "keys of a provider")

    def identify(self, token: str) -> tuple[Identity, float]:
        """Check a token.

        Args:
            token: which says that this provider made it.

        Returns:
            Who has it, and when it ends, in seconds since 1970.

        Raises:
            Unauthenticated: it is not valid.
            ProviderUnreachable: its key cannot be had at present.
        """
        entry = self.entry
        try:
            header = self._jwt.get_unverified_header(token)
            if header.get("alg") not in entry.algorithms:
                raise Unauthenticated(
                    f"the token's algorithm must be one of {', '.join(entry.algorithms)}"
                )
            claims = self._jwt.decode(
                token,
                self._key(header.get("kid")),
                algorithms=list(entry.algorithms),
                audience=entry.audience,
                issuer=entry.issuer,
                leeway=entry.clock_skew_seconds,
                options={"require": ["exp", "iss", "aud", entry.name_claim]},
            )
        except self._jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired: get a new one") from None
        except self._jwt.PyJWTError as error:
            # Such errors speak of claims and keys, never of the token itself.
            raise Unauthenticated(f"the token is not valid: {str(error)[:200]}") from None
        except RecursionError:
            raise Unauthenticated("the token is not valid") from None
        return self._identity(claims), float(claims["exp"]) + entry.clock_skew_seconds

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        entry = self.entry
        name = claims[entry.name_claim]
        if not isinstance(name, str) or not 0 < len(name) <= MOST_NAME:
            raise Unauthenticated(f"the token's {entry.name_claim} must be a short text")
        given = claims.get(entry.role_claim)
        groups = {given} if isinstance(given, str) else set(_texts(given))
        roles = [Role[role.upper()] for role, names in entry.roles.items() if groups & set(names)]
        role = max([*roles, *([] if entry.role is None else [entry.role])], default=None)
        if role is None:
            raise Unauthenticated(
                f"{entry.name_claim} {name!r} has no role here: the keeper of the server gives one "
                f"to values of the token's {entry.role_claim}"
            )
        return Identity(f"{entry.name}:{name}", role, entry.models, entry.datasets, quota_of(entry))

    def _key(self, kid: object) -> Any:
        """The public key of that name. Raises what PyJWT raises, and ProviderUnreachable."""
        if not isinstance(kid, str):
            raise Unauthenticated("the token names no key (kid)")
        if self._keys is not None:
            if (key := self._keys.current().get(kid)) is None:
                raise Unauthenticated("the token's key (kid) is none of the provider's")
            return key
        assert self._client is not None
        if time.monotonic() - self._failed < FAILED_SECONDS:
            raise ProviderUnreachable(self.entry.name)
        try:
            self._client.get_jwk_set()  # remembered; alone, so that it is not the token's fault
        except (self._jwt.PyJWTError, OSError, ValueError, RecursionError) as error:
            raise self._unreachable(error) from None
        failures = (self._jwt.PyJWKClientConnectionError, self._jwt.PyJWKSetError)
        try:
            return self._client.get_signing_key(kid)  # fetches anew where the key is unknown
        except (*failures, OSError, ValueError, RecursionError) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> ProviderUnreachable:
        """Log why an address gave no keys, and have it left alone for a while."""
        self._failed = time.monotonic()
        log.error("an identity provider's keys cannot be fetched", error=str(error)[:500])
        return ProviderUnreachable(self.entry.name)

    def _of_file(self, path: Path) -> dict[str, Any]:
        try:
            keys = self._jwt.PyJWKSet.from_dict(json.loads(path.read_text(encoding="utf-8"))).keys
        except (self._jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"{path} is no set of keys (JWKS): {error}") from None
        found = {key.key_id: key for key in keys if key.public_key_use in ("sig", None)}
        found.pop(None, None)
        if not found:
            raise ValueError(f"{path} holds no key with a name (kid)")
        return found


def issuer_of(token: str) -> str:
    """Read who a token says has made it, which is not checked.

    Args:
        token: any text.

    Returns:
        The issuer; "" where it is no signed token, or names none.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = json.loads(base64.urlsafe_b64decode(padded))
        issuer = claims.get("iss") if isinstance(claims, dict) else None
    except (ValueError, RecursionError):
        return ""
    return issuer if isinstance(issuer, str) else ""


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
