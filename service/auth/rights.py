"""What a caller may do, written down beside what goes on when their call has ended."""

import json

from service.auth.identity import EVERYONE, Identity, Role


def written(identity: Identity) -> str:
    """Write down what a caller may do.

    Args:
        identity: whose name is kept elsewhere.

    Returns:
        A text for `read`.
    """
    role = identity.role and identity.role.name
    return json.dumps([role, identity.models, identity.datasets])


def read(owner: str, text: str) -> Identity:
    """Read what was written down.

    Args:
        owner: the caller's name.
        text: of `written`; "" of earlier versions, which asked nobody for keys.

    Returns:
        The caller.

    Raises:
        ValueError: it is no such text.
    """
    if not text:
        return Identity(owner, EVERYONE.role)
    try:
        role, models, datasets = json.loads(text)
        return Identity(
            owner,
            None if role is None else Role[role],
            tuple(map(str, models)),
            tuple(map(str, datasets)),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError("what its owner may do cannot be read") from error
