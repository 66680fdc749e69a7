"""Dataclasses as messages whose fields have the same names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any, get_args

from striate.errors import invalid


def fill(
    message: Any,
    value: Any,
    words: Mapping[str, Mapping[str, int]] | None = None,
    without: Collection[str] = (),
) -> None:
    """Copies the fields of a dataclass into the fields of a message that have the same names.

    Args:
        message: The message that is filled. What is None in the dataclass stays unset.
        value: An instance of the dataclass.
        words: Of the fields whose values are words, the enum's value for each word.
        without: Fields that are left out.
    """
    for one in fields(value):
        found = getattr(value, one.name)
        if found is None or one.name in without:
            continue
        if words and one.name in words:
            found = words[one.name][found]
        if isinstance(found, tuple):
            getattr(message, one.name).extend(found)
        else:
            setattr(message, one.name, found)


def set_kind(message: Any, value: Any, union: Any, field: str) -> None:
    """Sets the member of a message's oneof that is called as the class of a value.

    Args:
        message: The message that is filled.
        value: An instance of one of the union's dataclasses. `TotalVariation` is the member
            `total_variation`; a member that is a number takes the only field of the dataclass.
        union: The dataclasses that are allowed.
        field: Name of the argument in errors.

    Raises:
        InvalidArgument: `value` is anything else.
    """
    if not isinstance(value, union):
        *kinds, last = get_args(union)
        module = last.__module__.removeprefix("striate.")
        names = ", ".join(kind.__name__ for kind in kinds)
        raise invalid(
            field,
            f"must be a {names} or {last.__name__} of striate.{module}, is {type(value).__name__}",
        )
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(value).__name__).lower()
    if message.DESCRIPTOR.fields_by_name[name].message_type is None:
        (amount,) = fields(value)
        setattr(message, name, getattr(value, amount.name))
    else:
        member = getattr(message, name)
        member.SetInParent()
        fill(member, value)
