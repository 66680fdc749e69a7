"""Why somebody is not let in. No message holds what was shown."""

from service.auth.identity import NOBODY, Identity


class AccessError(PermissionError):
    """A call is refused because of who makes it, `identity` where that is known."""

    identity = NOBODY


class Unauthenticated(AccessError):
    """Nothing valid was shown that tells who calls."""


class PermissionDenied(AccessError):
    """Who calls is known, and may not do this."""

    def __init__(self, identity: Identity, message: str) -> None:
        super().__init__(message)
        self.identity = identity


class ProviderUnreachable(AccessError):
    """The keys of an identity provider cannot be had at present; `retry_after` is in seconds."""

    retry_after = 2.0

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"the keys of identity provider {provider!r} cannot be had at present; the server's "
            f"log says why"
        )
