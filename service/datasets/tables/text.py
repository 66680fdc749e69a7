"""Tables in text, CSV and TSV: a row an image, with the path of its file and its label."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from service.datasets.base import DatasetError, Source, UnreadableItem
from service.datasets.fingerprint import Fingerprint
from service.datasets.folder import is_image
from service.datasets.inside import read_inside
from service.datasets.labels import read_labels
from service.datasets.tables.columns import LABELS, ColumnNames

PATHS = ("path", "file", "filename", "file_name", "filepath", "image", "img", "image_path", "name")
_LABELS = (*LABELS, "class_name", "label_name")
DELIMITERS = ",;\t"
MOST_LINE = 2**20  # characters
MOST_ROWS = 4_000_000


def table_source(
    path: str,
    delimiters: str = DELIMITERS,
    classes: tuple[str, ...] = (),
    named: ColumnNames | None = None,
    root: str = "",
) -> Source:
    """Open the images that a table lists, in its order.

    The first row names the columns if one of them is of `PATHS` or the caller's; otherwise the
    first column holds paths and the second, if there is one, labels. Paths are relative to the
    table's folder and stay inside of it. Labels are integers or names, as in `read_labels`.

    Args:
        path: of the table, in UTF-8.
        delimiters: characters of which the one that the first line has most often parts columns.
        classes: names by label.
        named: columns of paths, labels and names.
        root: another folder for the paths; empty: the table's.

    Returns:
        The rows as samples.

    Raises:
        DatasetError: it cannot be read, a row has no path, or columns or labels do not fit; the
            message names the line.
        OSError: there is no such file.
    """
    file = Path(path).expanduser()
    folder = Path(root).expanduser() if root else file.parent
    rows = _rows(file, delimiters)
    if not rows:
        raise DatasetError(f"{path!r} is empty")
    columns = _columns(rows[0][1], named or ColumnNames(), path)
    body = rows[1:] if columns.header else rows
    paths = [_cell(row, columns.path) for _, row in body]
    if "" in paths:
        raise DatasetError(f"line {body[paths.index('')][0]} of {path!r} names no file")
    if not paths:
        raise DatasetError(f"{path!r} names columns and no file")
    values = [_cell(row, columns.label) for _, row in body]
    labels = read_labels(values, classes, repr(path))
    names = [_cell(row, columns.name) or name for (_, row), name in zip(body, paths, strict=True)]

    def item(index: int) -> tuple[str, bytes, int | None]:
        try:
            return names[index], read_inside(folder, paths[index]), labels.of(index)
        except (OSError, ValueError) as error:
            raise UnreadableItem(names[index], str(error)) from error

    def listing() -> list[tuple[str, Path]]:
        return [(path, file), *((name, folder / name) for name in paths if is_image(name))]

    return Source(
        len(paths),
        item,
        labels.classes,
        labels.count,
        Fingerprint(listing),
        "" if columns.label is not None else f"{path!r} has no column of labels: {columns.way}",
    )


class _Columns:
    """The numbers of the columns of paths, labels and names, None where there is none.

    Attributes:
        header: the first row names the columns.
        way: how to name the column of labels.
    """

    def __init__(self, path: int, label: int | None, name: int | None, header: bool, way: str):
        self.path, self.label, self.name, self.header, self.way = path, label, name, header, way


def _columns(first: Sequence[str], named: ColumnNames, path: str) -> _Columns:
    cells = [cell.strip() for cell in first]
    lower = [cell.lower() for cell in cells]
    asked = [column for column in (named.image, named.label, named.name) if column]
    header = bool(asked) or any(cell in PATHS for cell in lower)
    shown = ", ".join(map(repr, cells[:20]))
    if not header:
        if not is_image(cells[0].replace("\\", "/").rpartition("/")[2]):
            raise DatasetError(
                f"the first row of {path!r} names no column {', '.join(PATHS)}, and begins with no "
                f"image file: {shown}; name the column of paths by ?image=COLUMN"
            )
        way = "write them into the second column"
        return _Columns(0, 1 if len(cells) > 1 else None, None, False, way)
    if missing := [column for column in asked if column not in cells]:
        raise DatasetError(f"{path!r} has no column {missing[0]!r}; it has {shown}")
    way = f"it has {shown}; name it by ?label=COLUMN"
    place = cells.index(named.image) if named.image else _first(lower, PATHS)
    if place is None:
        raise DatasetError(f"{path!r} has no column {', '.join(PATHS)}; it has {shown}")
    label = cells.index(named.label) if named.label else _first(lower, _LABELS)
    return _Columns(place, label, cells.index(named.name) if named.name else None, True, way)


def _first(cells: Sequence[str], names: Sequence[str]) -> int | None:
    return next((cells.index(name) for name in names if name in cells), None)


def _cell(row: Sequence[str], column: int | None) -> str:
    return row[column].strip() if column is not None and column < len(row) else ""


def _rows(file: Path, delimiters: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of the rows that are not empty."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        try:
            delimiter = max(delimiters, key=next(_bounded(lines, file), "").count)
            lines.seek(0)
            reader = csv.reader(_bounded(lines, file), delimiter=delimiter, strict=True)
            rows = []
            for row in reader:
                if any(cell.strip() for cell in row):
                    rows.append((reader.line_num, row))
                if len(rows) > MOST_ROWS:
                    raise DatasetError(f"{str(file)!r} has more than {MOST_ROWS} rows")
            return rows
        except (csv.Error, UnicodeDecodeError) as error:
            raise DatasetError(f"{str(file)!r} is no table in UTF-8: {error}") from error


def _bounded(lines: TextIO, file: Path) -> Iterator[str]:
    """The lines of a table, none of which is read further than a line may be long."""
    while line := lines.readline(MOST_LINE + 1):
        if len(line) > MOST_LINE:
            raise DatasetError(f"{str(file)!r} has a line of more than {MOST_LINE} characters")
        yield line
