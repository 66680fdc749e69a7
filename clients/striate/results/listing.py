"""What notebooks show of the things that a server has: lists of them, and operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from striate._formats import notebook
from striate._formats.columns import Columns, cells, with_values

if TYPE_CHECKING:
    from striate.errors import StriateError
    from striate.results.audit import AuditProgress
    from striate.results.index import IndexProgress

Item = TypeVar("Item")


class Listing(list[Item]):
    """A list that a notebook shows as a table.

    Args:
        items: The items.
        columns: The table's columns.
    """

    def __init__(self, items: Iterable[Item], columns: Columns[Item]) -> None:
        super().__init__(items)
        self._columns = columns

    def _repr_html_(self) -> str:
        header, rows, _ = with_values(list(self._columns), cells(self._columns, self))
        return notebook.table(header, [["" if c is None else c for c in row] for row in rows])


def operation_facts(
    name: str,
    done: bool,
    progress: IndexProgress | AuditProgress | None,
    error: StriateError | None,
) -> str:
    """Shows an operation and how far it is.

    Args:
        name: The operation's name.
        done: Whether it has ended.
        progress: Its progress, None where the client does not know its kind.
        error: Why it failed, None if it has not.

    Returns:
        HTML.
    """
    facts: dict[str, Any] = {"operation": name, "done": "yes" if done else "no"}
    return notebook.facts([*facts.items(), *_fields(progress), ("error", error)])


def _fields(progress: IndexProgress | AuditProgress | None) -> list[tuple[str, object]]:
    return [] if progress is None else list(asdict(progress).items())
