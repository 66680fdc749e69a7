"""Parquet files of images and labels, read a row group at a time."""

import threading
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.datasets.base import DatasetError, Source, UnreadableItem
from service.datasets.fingerprint import Fingerprint
from service.datasets.foreign import what_else
from service.datasets.inside import inside, read_inside
from service.datasets.labels import MOST_LABEL_TEXT, UNKNOWN, Labels, read_labels
from service.datasets.tables.columns import LABELS, ColumnNames, Columns, find_columns, shown
from service.datasets.tables.hugging_face import Features, features_of_schema
from service.datasets.tables.parquet_bounds import (
    check_column,
    check_group,
    check_rows,
    kept_as_dictionaries,
)
from service.datasets.tables.parquet_files import find_files

_GROUPS_KEPT = 2  # row groups in memory: readers on both sides of a boundary do not read in turns


def parquet_source(
    pattern: str,
    classes: tuple[str, ...] = (),
    named: ColumnNames | None = None,
    split: str = "",
    config: str = "",
) -> Source:
    """Open the rows of parquet files, in the order of their paths.

    Columns: `image`, an encoded image as bytes (or a struct with a field `bytes`, and `path` for
    files beside the table); `label`, integers or names, negative or null where unknown, optional;
    `name`, a string, optional. See `parquet_columns` for other names that are found.

    Args:
        pattern: glob of the files, where `**` reaches into folders; or a folder for all below it.
        classes: names by label; empty: those of Hugging Face's metadata in the first file, of its
            schema metadata `classes`, separated by commas, or of the README.md of the folder.
        named: columns that are not to be found, but are these.
        split: of a folder with several.
        config: of a folder with several.

    Returns:
        The rows as samples.

    Raises:
        DatasetError: there is no such file, its columns do not fit, a label is above 999,999, or
            the names are too few for the labels.
    """
    paths, card, config = find_files(pattern, split, config)
    footers = [_footer(path) for path in paths]
    check_rows(footers, repr(pattern))
    schema = footers[0].schema.to_arrow_schema()
    carded = card.features_of(config) if card is not None else Features()
    features = features_of_schema(schema)
    known = Features(features.images or carded.images, {**carded.classes, **features.classes})
    columns = find_columns(schema, known, named or ColumnNames(), paths[0])
    for path, footer in zip(paths, footers, strict=True):
        found = find_columns(footer.schema.to_arrow_schema(), known, named or ColumnNames(), path)
        if found != columns:
            raise DatasetError(
                f"{path!r} does not have the columns of {paths[0]!r}: "
                f"{', '.join(filter(None, (*columns.read, columns.label)))}"
            )
    stored = columns.label or ""
    names = classes or features.classes.get(stored) or _stored_classes(schema)
    labels = _read_labels(paths, columns.label, names or carded.classes.get(stored, ()), pattern)
    rows = _Rows(paths, footers, columns, labels, card.folder if card is not None else None)

    def listing() -> list[tuple[str, Path]]:
        try:
            now, _, _ = find_files(pattern, split, config)
        except DatasetError:  # they are gone
            now = []
        return [(path, Path(path)) for path in (*now, *([str(card.path)] if card else ()))]

    return Source(
        len(rows),
        rows.item,
        labels.classes if labels.count else (),
        labels.count,
        Fingerprint(listing),
        "" if columns.label else _unlabelled(schema, paths[0]),
    )


class _Rows:
    """Random access to the rows of several parquet files with the same columns."""

    def __init__(
        self,
        paths: list[str],
        footers: list[pq.FileMetaData],
        columns: Columns,
        labels: Labels,
        folder: Path | None,
    ) -> None:
        self._columns, self._labels, self._folder = columns, labels, folder
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
        number, name = bisect_right(self._starts, index) - 1, f"row-{index}"
        with self._lock:  # one at a time, so that a row group is read and held once
            table = self._group(number)
        try:
            row = table.slice(index - self._starts[number], 1)
            values = {column: _at(row, column) for column in self._columns.read}
        except (IndexError, UnicodeDecodeError) as error:
            path, group = self._groups[number]
            raise DatasetError(
                f"row group {group} of {path!r} is not what it was when it was opened, or "
                f"damaged: {error}"
            ) from error
        name = str(values.get(self._columns.name or "") or name)
        data = values[self._columns.image]
        if data is None:
            data = self._beside(name, values.get(self._columns.path or ""), self._groups[number][0])
        return name, data, self._labels.of(index) if self._columns.label else None

    def _beside(self, name: str, file: str | None, table: str) -> bytes:
        """The image in a file that stands beside the table or in the folder of the data set."""
        folders = [Path(table).parent, *([self._folder] if self._folder is not None else ())]
        try:
            paths = [inside(folder, file) for folder in folders] if file else []
            for folder, path in zip(folders, paths, strict=False):
                if path.is_file():
                    return read_inside(folder, file or "")
        except (OSError, ValueError) as error:
            raise UnreadableItem(
                name, f"the column image is null, and its path: {error}"
            ) from error
        raise UnreadableItem(
            name,
            f"the column image is null, and its path {file!r} is no file below {str(folders[-1])!r}"
            if file
            else "the column image is null",
        )

    def _read_group(self, number: int) -> pa.Table:
        path, group = self._groups[number]
        try:
            footer, columns = _footer(path), self._columns.read
            check_group(footer.row_group(group), columns, f"row group {group} of {path!r}")
            coded = kept_as_dictionaries(footer, columns)
            with pq.ParquetFile(path, read_dictionary=coded) as file:
                return file.read_row_group(group, columns=list(columns))
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"row group {group} of {path!r}: {error}") from error


def _at(row: pa.Table, column: str) -> Any:
    """The value of a dotted column in a table of one row."""
    outer, *inner = column.split(".") if column not in row.column_names else [column]
    value = row[outer][0].as_py()
    for each in inner:
        value = None if value is None else value[each]
    return value


def _footer(path: str) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        what = what_else(Path(path))
        raise DatasetError(
            f"{path!r} {what}" if what else f"{path!r} cannot be read: {error}"
        ) from error


def _read_labels(
    paths: list[str], column: str | None, classes: tuple[str, ...], where: str
) -> Labels:
    """The labels of all rows; without a column there are none."""
    if column is None:
        return read_labels(np.zeros(0, np.int64), (), where)
    parts = [_column(path, column) for path in paths]
    if any(pa.types.is_dictionary(part.type) for part in parts):
        return read_labels(
            [each for part in parts for each in _values(part, where)], classes, repr(where)
        )
    if all(pa.types.is_integer(part.type) for part in parts):
        filled = [part.fill_null(UNKNOWN).cast(pa.int64()).to_numpy() for part in parts]
        return read_labels(np.concatenate(filled), classes, repr(where))
    return read_labels([each for part in parts for each in part.to_pylist()], classes, repr(where))


def _values(part: pa.Array, where: str) -> list[object]:
    """The values of a column; of one with a dictionary each is held once, however many rows it is
    in.
    """
    if not pa.types.is_dictionary(part.type):
        return part.to_pylist()  # type: ignore[no-any-return]
    longest = pc.max(pc.binary_length(part.dictionary)).as_py() or 0
    if longest > 4 * MOST_LABEL_TEXT:  # bytes of characters
        raise DatasetError(f"{where!r} has a label of {longest} bytes, too many for a name")
    values = part.dictionary.to_pylist()
    return [None if place is None else values[place] for place in part.indices.to_pylist()]


def _column(path: str, column: str) -> pa.Array:
    """A dotted column of a file."""
    footer = _footer(path)
    check_column(footer, column, repr(path))
    try:
        coded = kept_as_dictionaries(footer, (column,))
        with pq.ParquetFile(path, read_dictionary=coded) as file:
            table = file.read(columns=[column])
        outer, *inner = column.split(".") if column not in table.column_names else [column]
        values = table[outer]
        for each in inner:
            values = pc.struct_field(values, each)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"the column {column} of {path!r}: {error}") from error
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _stored_classes(schema: pa.Schema) -> tuple[str, ...]:
    stored = (schema.metadata or {}).get(b"classes", b"").decode("utf-8", "replace")
    return tuple(name.strip() for name in stored.split(",")) if stored else ()


def _unlabelled(schema: pa.Schema, path: str) -> str:
    return (
        f"no column of {path!r} is called {', '.join(LABELS)}; it has {shown(schema)}: name one by "
        "?label=COLUMN"
    )
