"""The files of an index: tensors with a description, which appear whole or not at all."""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from interp.exemplars import TopK

UNREADABLE = (OSError, SafetensorError, ValueError, KeyError)  # what reading a damaged file raises

_HEADER = "striate"  # the key of the description in the file's metadata
_FORMAT = 1
_PARTS = ("values", "positions", "ids")


def write(path: Path, about: Mapping[str, Any], tops: Mapping[str, TopK]) -> None:
    """Write the top k of layers and a description of JSON values; a reader sees the old file or the new one."""
    tensors = {f"{part}:{layer}": getattr(top, part) for layer, top in tops.items() for part in _PARTS}
    data = save(tensors, {_HEADER: json.dumps({"format": _FORMAT, **about})})
    temporary = path.with_name(f"{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def describe(path: Path) -> dict[str, Any]:
    """The description in a file; raises one of UNREADABLE."""
    with safe_open(path, "pt") as file:
        about: dict[str, Any] = json.loads((file.metadata() or {})[_HEADER])
    if about["format"] != _FORMAT:
        raise ValueError(f"format {about['format']} is not {_FORMAT}")
    return about


def read(path: Path, layer: str, units: slice = slice(None)) -> TopK:
    """The top k of a layer, or of some of its units; the file is mapped, so that no more is read. Raises one of UNREADABLE."""
    with safe_open(path, "pt") as file:
        return TopK.restore(*(file.get_slice(f"{part}:{layer}")[units] for part in _PARTS))


def slug(text: str) -> str:
    """At most 48 letters, digits and -_. of a text, for the eye: no folder, no hidden file, not unique."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".")[:48] or "_"


def digest(value: object) -> str:
    """32 hexadecimal digits that name a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
