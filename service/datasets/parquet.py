"""Parquet files with columns image, label and name, read a row group at a time."""

import threading
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.datasets.base import MOST_LABEL, DatasetError, Source
from service.datasets.fingerprint import Fingerprint, matching_files

_GROUPS_KEPT = 2  # row groups in memory: readers on both sides of a boundary do not read in turns


def parquet_source(pattern: str, classes: tuple[str, ...] = ()) -> Source:
    """Open the rows of parquet files, in the order of their paths.

    Columns: `image`, an encoded image as bytes (or a struct with a field `bytes`); `label`, an
    integer, negative or null where unknown, optional; `name`, a string, optional.

    Args:
        pattern: glob of the files; `**` reaches into folders.
        classes: names by label; empty: those of the first file's schema metadata `classes`,
            separated by commas.

    Returns:
        The rows as samples.

    Raises:
        DatasetError: there is no such file, its columns do not fit, a label is above 999,999, or
            the names are too few for the labels.
    """
    paths = matching_files(pattern)
    if not paths:
        raise DatasetError(f"no file matches {pattern!r}")
    fingerprint = Fingerprint(lambda: ((path, Path(path)) for path in matching_files(pattern)))
    rows = _Rows(paths)
    labels = rows.label_count()
    names = (classes or _stored_classes(rows.schema)) if labels else ()
    if names and labels > len(names):
        raise DatasetError(f"{pattern!r} has label {labels - 1}, but only {len(names)} class names")
    return Source(len(rows), rows.item, names, max(labels, len(names)), fingerprint)


class _Rows:
    """Random access to the rows of several parquet files with the same columns."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths
        footers = [_footer(path) for path in paths]
        self.schema = footers[0].schema.to_arrow_schema()
        self._columns = _columns(self.schema, paths[0])
        for path, footer in zip(paths, footers, strict=True):
            if _columns(footer.schema.to_arrow_schema(), path) != self._columns:
                raise DatasetError(
                    f"{path!r} does not have the columns of {paths[0]!r}: "
                    f"{', '.join(self._columns)}"
                )
        groups = [
            (path, number, footer)
            for path, footer in zip(paths, footers, strict=True)
            for number in range(footer.num_row_groups)
        ]
        self._groups = [(path, number) for path, number, _ in groups]
        self._starts: list[int] = [
            0,
            *accumulate(footer.row_group(number).num_rows for _, number, footer in groups),
        ]
        self._lock = threading.Lock()
        self._group: Callable[[int], pa.Table] = lru_cache(maxsize=_GROUPS_KEPT)(self._read_group)

    def __len__(self) -> int:
        return self._starts[-1]

    def item(self, index: int) -> tuple[str, bytes, int | None]:
        """Name, encoded image and label of row `index`."""
        number = bisect_right(self._starts, index) - 1
        with self._lock:  # one at a time, so that a row group is read and held once
            table = self._group(number)
        try:
            values = {
                column: table[column][index - self._starts[number]].as_py()
                for column in table.column_names
            }
        except (IndexError, UnicodeDecodeError) as error:
            path, group = self._groups[number]
            raise DatasetError(
                f"row group {group} of {path!r} is not what it was when it was opened, or "
                f"damaged: {error}"
            ) from error
        image, label = values["image"], values.get("label")
        data = image["bytes"] if isinstance(image, dict) else image
        if data is None:
            raise DatasetError("the column image is null")
        return (
            values.get("name") or f"row-{index}",
            data,
            label if label is not None and label >= 0 else None,
        )

    def label_count(self) -> int:
        """The largest label + 1; 0 without labels."""
        if "label" not in self._columns:
            return 0
        largest = -1
        for path in self._paths:
            top = pc.max(pq.read_table(path, columns=["label"], partitioning=None)["label"]).as_py()
            largest = max(largest, -1 if top is None else int(top))
            if largest > MOST_LABEL:
                raise DatasetError(f"{path!r} has label {largest}, more than {MOST_LABEL}")
        return largest + 1

    def _read_group(self, number: int) -> pa.Table:
        path, group = self._groups[number]
        try:
            with pq.ParquetFile(path) as file:
                return file.read_row_group(group, columns=list(self._columns))
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"row group {group} of {path!r}: {error}") from error


def _footer(path: str) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path!r} cannot be read: {error}") from error


def _columns(schema: pa.Schema, path: str) -> tuple[str, ...]:
    """The columns to read; raises DatasetError if one is missing or of another type."""
    types = dict(zip(schema.names, schema.types, strict=True))
    if not _holds_bytes(types.get("image")):
        raise DatasetError(
            f"{path!r} needs a column image of bytes; it has "
            f"{', '.join(f'{n}: {t}' for n, t in types.items())}"
        )
    if "label" in types and not pa.types.is_integer(types["label"]):
        raise DatasetError(f"the column label of {path!r} holds {types['label']}, not integers")
    if "name" in types and not (
        pa.types.is_string(types["name"]) or pa.types.is_large_string(types["name"])
    ):
        raise DatasetError(f"the column name of {path!r} holds {types['name']}, not strings")
    image = "image.bytes" if pa.types.is_struct(types["image"]) else "image"
    return (image, *(name for name in ("label", "name") if name in types))


def _holds_bytes(kind: pa.DataType | None) -> bool:
    if kind is not None and pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        kind = kind.field(index).type if index >= 0 else None
    return kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _stored_classes(schema: pa.Schema) -> tuple[str, ...]:
    stored = (schema.metadata or {}).get(b"classes", b"").decode("utf-8", "replace")
    return tuple(name.strip() for name in stored.split(",")) if stored else ()
