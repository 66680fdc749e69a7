"""Parquet files that are written a row group at a time, and appear when they are complete."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from service import files

GROUP_ROWS, GROUP_BYTES = 8192, 32 * 2**20  # a row group is written when it has either


class ParquetFile:
    """A context in which rows are appended; the file appears at its end, unless an error ended it.
    The same rows give the same bytes.

    Args:
        path: of the file.
        columns: types by name, in their order.
        compression: "zstd" or "none".
    """

    def __init__(self, path: Path, columns: Mapping[str, pa.DataType], compression: str) -> None:
        self._path, self._temporary = path, files.temporary_beside(path)
        self._schema = pa.schema(list(columns.items()))
        self._writer = pq.ParquetWriter(
            self._temporary,
            self._schema,
            version="2.6",
            data_page_version="1.0",
            compression=compression,
        )
        self._waiting: list[pa.Table] = []

    def add(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
        """Append rows.

        Args:
            columns: by name, all of one length; what is not a number is stored as null.
        """
        arrays = [
            pa.array(columns[field.name], field.type, from_pandas=True) for field in self._schema
        ]
        self._waiting.append(pa.table(arrays, schema=self._schema))
        if (
            sum(t.num_rows for t in self._waiting) >= GROUP_ROWS
            or sum(t.nbytes for t in self._waiting) >= GROUP_BYTES
        ):
            self._flush()

    def _flush(self) -> None:
        if rows := sum(table.num_rows for table in self._waiting):
            self._writer.write_table(
                pa.concat_tables(self._waiting).combine_chunks(), row_group_size=rows
            )
        self._waiting = []

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._flush()
            self._writer.close()
            if error is None:
                files.move_into_place(self._temporary, self._path)
        finally:
            self._temporary.unlink(missing_ok=True)
