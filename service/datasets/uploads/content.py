"""What the file of an upload holds, the name that it has by that, and whose it is."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service import files as whole_file
from service.auth.ownership import Ownership

CLASSES = b"striate.classes"  # the key of the class names, as JSON, in the file's metadata
WHOSE = ".json"  # the ending of the file that says whose an upload is, and with whom it is shared
_NAME = re.compile(r"upload-[0-9a-f]{16}")


class Content:
    """What the name of an upload is made of: its owner, its class names, and its images with their
    labels.
    """

    def __init__(self, classes: Sequence[str], owner: str) -> None:
        named = [list(classes), owner] if owner else list(classes)
        self._digest = hashlib.sha256(json.dumps(named).encode())

    def add(self, image: bytes, label: int) -> None:
        """Take the next image in."""
        self._digest.update(len(image).to_bytes(8, "little") + label.to_bytes(8, "little") + image)

    @property
    def name(self) -> str:
        """Of the upload of what was taken in."""
        return f"upload-{self._digest.hexdigest()[:16]}"


def name_of(path: Path) -> str:
    """The name that the content of a file has; raises what pyarrow raises of a damaged one."""
    with pq.ParquetFile(path) as file:
        classes = json.loads((file.schema_arrow.metadata or {})[CLASSES])
        content = Content(classes, whose_is(path).owner)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, ["image", "label"])
            for image, label in zip(table["image"], table["label"], strict=True):
                content.add(image.as_py(), label.as_py())
    return content.name


def damage(path: Path) -> str | None:
    """Tell what is wrong with the file of an upload.

    Args:
        path: of the file.

    Returns:
        A few words; None for nothing.
    """
    try:
        return None if name_of(path) == path.stem else "it is not what was uploaded"
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        return str(error)


def is_name(name: str) -> bool:
    """Tell whether a name is one that uploads have.

    Args:
        name: any.
    """
    return bool(_NAME.fullmatch(name))


def whose_is(path: Path) -> Ownership:
    """Whose the upload in a file is. Where that cannot be read it is nobody's in particular, and
    then its name does not fit its content, unless it was so from the first.
    """
    try:
        found = json.loads(path.with_suffix(WHOSE).read_bytes())
        return Ownership(str(found["owner"]), tuple(map(str, found["share"])))
    except (OSError, ValueError, KeyError, TypeError):
        return Ownership()


def keep_whose(path: Path, whose: Ownership) -> None:
    """Write down whose an upload is, or that it is nobody's in particular."""
    if whose == Ownership():
        path.unlink(missing_ok=True)
        return
    text = json.dumps({"owner": whose.owner, "share": whose.shared})
    whole_file.write(path, text.encode(), durable=True)
