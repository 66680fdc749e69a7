"""Files that appear whole or not at all."""

import os
import uuid
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Write a file, and its folder if need be; a reader sees the old file, the new one, or none. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
