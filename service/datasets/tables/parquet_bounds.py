"""What a parquet file may unpack to: a few kilobytes can stand for gigabytes."""

from collections.abc import Iterable

import pyarrow.parquet as pq

from service.datasets.base import DatasetError

MOST_ROWS = 20_000_000  # of all files
MOST_GROUP_BYTES = 2**31 - 1  # of a column in a row group when it is unpacked, which Arrow can hold
MOST_COLUMN_BYTES = 2**31 - 1  # of all labels of a file when they are unpacked
_DICTIONARIES = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}


def check_rows(footers: Iterable[pq.FileMetaData], where: str) -> None:
    """Refuse files of too many rows.

    Args:
        footers: of all files.
        where: the files, for messages.

    Raises:
        DatasetError: they have more rows than a data set may.
    """
    rows = sum(footer.num_rows for footer in footers)
    if rows > MOST_ROWS:
        raise DatasetError(f"{where} has {rows} rows, more than {MOST_ROWS}")


def check_group(group: pq.RowGroupMetaData, columns: Iterable[str], where: str) -> None:
    """Refuse a row group that unpacks to too much, before it is read.

    Args:
        group: of the file.
        columns: dotted names of those that are read.
        where: the group, for messages.

    Raises:
        DatasetError: a column is larger than may be held.
    """
    for chunk in _chunks(group, columns):
        if chunk.total_uncompressed_size > MOST_GROUP_BYTES:
            raise DatasetError(
                f"{where}: the column {chunk.path_in_schema} would unpack from "
                f"{chunk.total_compressed_size} to {chunk.total_uncompressed_size} bytes, more "
                f"than {MOST_GROUP_BYTES}: write smaller row groups"
            )


def check_column(footer: pq.FileMetaData, column: str, where: str) -> None:
    """Refuse a column that is to be read as a whole and unpacks to too much.

    Args:
        footer: of the file.
        column: its dotted name.
        where: the file, for messages.

    Raises:
        DatasetError: it is larger than may be held.
    """
    groups = (footer.row_group(number) for number in range(footer.num_row_groups))
    size = sum(
        chunk.total_uncompressed_size for group in groups for chunk in _chunks(group, (column,))
    )
    if size > MOST_COLUMN_BYTES:
        raise DatasetError(
            f"{where}: the column {column} would unpack to {size} bytes, more than "
            f"{MOST_COLUMN_BYTES}"
        )


def kept_as_dictionaries(footer: pq.FileMetaData, columns: Iterable[str]) -> list[str]:
    """Find the columns whose values are numbers of a dictionary's: read as such they take no more
    than they do in the file, where one large value may stand in millions of rows.

    Args:
        footer: of the file.
        columns: dotted names of those that are read.

    Returns:
        Those of bytes or texts with a dictionary in any row group.
    """
    found = {
        chunk.path_in_schema: None
        for number in range(footer.num_row_groups)
        for chunk in _chunks(footer.row_group(number), columns)
        if chunk.physical_type == "BYTE_ARRAY" and _DICTIONARIES & set(chunk.encodings)
    }
    return list(found)


def _chunks(group: pq.RowGroupMetaData, columns: Iterable[str]) -> Iterable[pq.ColumnChunkMetaData]:
    """The leaves of columns in a row group."""
    wanted = tuple(columns)
    for number in range(group.num_columns):
        chunk = group.column(number)
        path = chunk.path_in_schema
        if any(path == column or path.startswith(f"{column}.") for column in wanted):
            yield chunk
