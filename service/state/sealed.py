"""Files that carry the digest of what they say: a flipped byte is noticed when they are read."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEAL = "sha256"  # the key of the digest, in JSON and in the metadata of tensor files
_VALUE = "value"


def seal(value: Any) -> bytes:
    """Write a JSON value with its digest.

    Args:
        value: that `json.dumps` takes.

    Returns:
        What the file holds.
    """
    return json.dumps({_VALUE: value, SEAL: _digest(value)}, indent=2).encode()


def unseal(data: bytes) -> Any:
    """Read a JSON value that `seal` wrote, or one without a digest, of earlier versions.

    Args:
        data: what the file holds.

    Returns:
        The value.

    Raises:
        ValueError: it is no JSON, or not what was written.
    """
    found = json.loads(data)
    if not isinstance(found, dict) or found.keys() != {_VALUE, SEAL}:
        return found
    if found[SEAL] != _digest(found[_VALUE]):
        raise ValueError("it is not what was written")
    return found[_VALUE]


def arrays_digest(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, str]) -> str:
    """Digest arrays and what a file's metadata says beside the digest.

    Args:
        arrays: by name.
        about: the metadata; `SEAL` itself does not count.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(_digest({k: v for k, v in about.items() if k != SEAL}).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
