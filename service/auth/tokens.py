"""Bearer tokens: random, long, and kept as digests alone."""

import hashlib
import secrets

TOKEN_BYTES = 32  # 256 random bits, so that a plain digest tells nothing about them
PREFIX = "striate_"  # by which tools that look for secrets in files know them
BEARER = "bearer"
MOST_CHARACTERS = 16 * 2**10  # of a token, also of an identity provider's


def new_token() -> str:
    """Make a token.

    Returns:
        The token, one word; whoever has it may do what its entry says.
    """
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> str:
    """Return what is kept of a token.

    Args:
        token: any text.

    Returns:
        Its SHA-256, in hexadecimal digits.
    """
    return hashlib.sha256(token.encode()).hexdigest()
