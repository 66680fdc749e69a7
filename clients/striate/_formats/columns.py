"""Tables of text, of the command line and of notebooks: what is shown of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

Item = TypeVar("Item")

Columns = Mapping[str, Callable[[Item], object]]  # header -> cell; None and "" for an empty one


def cells(columns: Columns[Item], items: Iterable[Item]) -> list[tuple[object, ...]]:
    """Fills a table, one row an item.

    Args:
        columns: What each column is called, and how its cell is read off an item.
        items: The items.

    Returns:
        The rows.
    """
    return [tuple(read(item) for read in columns.values()) for item in items]


def with_values(
    header: Sequence[str], rows: Sequence[Sequence[object]]
) -> tuple[list[str], list[list[object]], list[str]]:
    """Leaves out the columns in which no row has a value; the first always stays.

    Args:
        header: Names of the columns.
        rows: Their cells, None or "" for an empty one.

    Returns:
        The header and the rows that are left, and the names of the columns that are not.
    """
    kept = [
        place
        for place in range(len(header))
        if place == 0 or not rows or any(row[place] not in (None, "") for row in rows)
    ]
    return (
        [header[place] for place in kept],
        [[row[place] for place in kept] for row in rows],
        [name for place, name in enumerate(header) if place not in kept],
    )
