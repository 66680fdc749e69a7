"""The auth file: who may do what, and how they are known."""

import tomllib
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import structlog
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from service.auth.identity import ALL, Identity, Role
from service.auth.quota import Quota

log = structlog.get_logger("striate")

# Of keys that can be published: a shared secret would let whoever checks tokens make them.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
_LOCAL = ("localhost", "127.0.0.1", "::1")


def _role(value: object) -> object:
    if isinstance(value, str) and value.upper() in Role.__members__:
        return Role[value.upper()]
    raise ValueError("must be read, compute or admin")


def _moment(value: object) -> object:
    """A date, or a date and time; without a zone in UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError("must be a TOML date, such as 2030-01-31 or 2030-01-31T12:00:00Z")


def _algorithms(given: tuple[str, ...]) -> tuple[str, ...]:
    wrong = sorted(set(given) - set(ALGORITHMS))
    if wrong or not given:
        raise ValueError(f"must be of {', '.join(ALGORITHMS)}")
    return given


# No colon: what identity providers call people has one, so that neither can pass for the other.
Name = Annotated[str, Field(pattern=r"^[\w.@+-]{1,100}$")]
RoleName = Annotated[Role, BeforeValidator(_role)]
Patterns = tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def quota_of(entry: Quota) -> Quota:
    """Return the quota among the fields of an entry.

    Args:
        entry: of the auth file.
    """
    return Quota(**{name: getattr(entry, name) for name in Quota.model_fields})


class Grant(_Table, Quota):
    """What somebody may do, and how much they may have."""

    name: Name
    role: RoleName
    models: Patterns = ALL
    datasets: Patterns = ALL
    expires: Annotated[datetime, BeforeValidator(_moment)] | None = None

    @property
    def identity(self) -> Identity:
        """Whose it is."""
        return Identity(self.name, self.role, self.models, self.datasets, quota_of(self))


class TokenEntry(Grant):
    """A table of [[tokens]]."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class CertificateEntry(Grant):
    """A table of [[certificates]]: `subject` as RFC 4514 writes it, "CN=ann,O=Lab"."""

    subject: str = Field(min_length=1, max_length=1000)


class ProviderEntry(_Table, Quota):
    """A table of [[providers]]: of tokens that an OpenID Connect provider signs.

    Attributes:
        name: what callers' names begin with: "sso" makes "sso:ann".
        issuer, audience: that a token must have.
        jwks: file or URL of the provider's public keys.
        algorithms: of signatures that are taken.
        clock_skew_seconds: how far the clocks may be apart.
        name_claim: the claim that names a caller.
        role: of whoever has a valid token; None: of those alone that `roles` names.
        role_claim: the claim, a text or a list, whose values `roles` names.
        roles: values of that claim, by the role that they give.
        models, datasets: as of a token.
    """

    name: Name
    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    jwks: str = Field(min_length=1)
    algorithms: Annotated[tuple[str, ...], AfterValidator(_algorithms)] = ("RS256", "ES256")
    clock_skew_seconds: float = Field(30.0, ge=0, le=300)
    name_claim: str = "sub"
    role: RoleName | None = None
    role_claim: str = "groups"
    roles: dict[str, tuple[str, ...]] = {}
    models: Patterns = ALL
    datasets: Patterns = ALL

    @model_validator(mode="after")
    def _usable(self) -> "ProviderEntry":
        if unknown := sorted(set(self.roles) - {role.name.lower() for role in Role}):
            raise ValueError(f"roles: must be read, compute or admin, not {unknown[0]!r}")
        if self.role is None and not any(self.roles.values()):
            raise ValueError("role: says what everyone may do, or roles what some may")
        address = urlsplit(self.jwks)
        if address.scheme == "http" and address.hostname not in _LOCAL:
            raise ValueError("jwks: must be https: whoever changes the keys on their way lets in")
        return self


class AuthFile(_Table):
    """What an auth file holds: `defaults` is the quota of the entries that say nothing of it."""

    defaults: Quota = Quota()
    tokens: tuple[TokenEntry, ...] = ()
    certificates: tuple[CertificateEntry, ...] = ()
    providers: tuple[ProviderEntry, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        """Give each entry what it does not say of its quota."""
        defaults = given.get("defaults") if isinstance(given, dict) else None
        if not isinstance(defaults, dict):
            return given
        common = {name: value for name, value in defaults.items() if name in Quota.model_fields}
        return given | {
            kind: [common | one if isinstance(one, dict) else one for one in given[kind]]
            for kind in ("tokens", "certificates", "providers")
            if isinstance(given.get(kind), list)
        }

    @model_validator(mode="after")
    def _told_apart(self) -> "AuthFile":
        for what, keys in (
            ("tokens: sha256", [entry.sha256 for entry in self.tokens]),
            ("certificates: subject", [entry.subject for entry in self.certificates]),
            ("providers: name", [entry.name for entry in self.providers]),
            ("providers: issuer", [entry.issuer for entry in self.providers]),
        ):
            if len(set(keys)) < len(keys):
                raise ValueError(f"{what}: two entries have the same")
        return self


def parse(text: str, folder: Path) -> AuthFile:
    """Read an auth file's text. Errors do not show its values.

    Args:
        text: TOML.
        folder: at which relative paths in it start.

    Returns:
        What it holds.

    Raises:
        ValueError: it is no TOML, or an entry is wrong; the message names it.
    """
    try:
        found = AuthFile.model_validate(_absolute(tomllib.loads(text), folder))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is no TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(str(part + 1 if isinstance(part, int) else part) for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {problem}" if where else problem) from None
    return found


def read(path: Path) -> AuthFile:
    """Read an auth file.

    Args:
        path: of the file.

    Returns:
        What it holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is wrong, or every user of this machine can write it.
    """
    mode = path.stat().st_mode
    if mode & 0o002:
        raise ValueError(f"{path}: every user of this machine can write it: chmod 600 it")
    try:
        return parse(path.read_text(encoding="utf-8"), path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def warn_if_shown(path: Path) -> None:
    """Warn of a file that tells every user of this machine who may do what.

    Args:
        path: of the file.
    """
    if path.stat().st_mode & 0o004:
        log.warning(
            "every user of this machine can read the auth file: chmod 600 it", auth=str(path)
        )


def _absolute(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Have the files of keys start at the folder."""
    for entry in given.get("providers", ()) if isinstance(given.get("providers"), list) else ():
        jwks = entry.get("jwks") if isinstance(entry, dict) else None
        if isinstance(jwks, str) and jwks and urlsplit(jwks).scheme not in ("http", "https"):
            entry["jwks"] = str(folder.absolute() / jwks)
    return given
