"""Who visits: a random number in a cookie, for which this process keeps the visitor's token."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

COOKIE = "striate-visitor"
LIFETIME = 12 * 3600  # seconds that a token is kept since it was last used
_MOST = 10_000  # signed-in visitors; beyond, the one who was here longest ago is signed out
_NUMBER = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass
class _Entry:
    token: str
    used: float


class Sessions:
    """The tokens of those who have signed in, and proofs that a form is this microscope's own."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def visitor(self, cookie: str | None) -> str:
        """Reads a visitor's number.

        Args:
            cookie: What the browser sent.

        Returns:
            The number; a new one where there is none.
        """
        return cookie if cookie and _NUMBER.fullmatch(cookie) else self.new_visitor()

    def new_visitor(self) -> str:
        """Makes a number that nobody can guess."""
        return secrets.token_urlsafe(32)

    def proof(self, visitor: str) -> str:
        """Makes what a form must bring back: only a page that this visitor was given has it."""
        return hmac.new(self._secret, visitor.encode(), hashlib.sha256).hexdigest()

    def proven(self, visitor: str, proof: str) -> bool:
        """Says whether a form brought back what the visitor was given."""
        return hmac.compare_digest(self.proof(visitor).encode(), proof.encode())

    def sign_in(self, token: str) -> str:
        """Keeps a token.

        Args:
            token: The visitor's token.

        Returns:
            The number that stands for it from now on.
        """
        visitor = self.new_visitor()
        self._entries[visitor] = _Entry(token, time.monotonic())
        while len(self._entries) > _MOST:
            self._entries.popitem(last=False)
        return visitor

    def sign_out(self, visitor: str) -> None:
        """Forgets a visitor's token."""
        self._entries.pop(visitor, None)

    def token(self, visitor: str) -> str:
        """Finds a visitor's token; "" for those who have not signed in, or too long ago."""
        entry = self._entries.get(visitor)
        if entry is None:
            return ""
        now = time.monotonic()
        if now - entry.used > LIFETIME:
            del self._entries[visitor]
            return ""
        entry.used = now
        self._entries.move_to_end(visitor)
        return entry.token
