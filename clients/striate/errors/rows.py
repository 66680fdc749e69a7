"""Errors about a row of a request: told again under another message, or counted anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from striate.errors.exceptions import StriateError

Error = TypeVar("Error", bound=StriateError)

_ROW = re.compile(r"^((?:images(?:\.encoded)?|labels)\[)(\d+)(?=\])")


def renamed(error: Error, message: str, fields: Mapping[str, str] | None = None) -> Error:
    """Makes the same error with another message.

    Args:
        error: The error.
        message: The message.
        fields: In the place of its own; None for its own.

    Returns:
        An error of the same class.
    """
    return type(error)(
        message,
        code=error.code,
        reason=error.reason,
        fields=error.fields if fields is None else fields,
        request_id=error.request_id,
        retry_after=error.retry_after,
    )


def moved(error: Error, first: int) -> Error:
    """Counts the rows of an error about some images of a request from the first image of all.

    Args:
        error: The error, whose message may begin with the row.
        first: Row of the first of these images among all.

    Returns:
        The error; itself where it is about no row.
    """
    if not first or not any(map(_ROW.search, error.fields)):
        return error
    fields = {_in_all(field, first): wrong for field, wrong in error.fields.items()}
    return renamed(error, _in_all(str(error), first), fields)


def _in_all(text: str, first: int) -> str:
    return _ROW.sub(lambda row: f"{row[1]}{int(row[2]) + first}", text)
