"""Labels as callers write them, class indices or class names, as the indices that travel."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from operator import index

from striate._rpc.checks import listed
from striate.errors import InvalidArgument, invalid

Label = int | str
Labels = Label | Iterable[Label]


def as_indices(labels: Labels | None, count: int, classes: Sequence[str], field: str) -> list[int]:
    """Turns labels into class indices.

    Names match exactly, or else without case, spaces, hyphens and underscores.

    Args:
        labels: A class index or name for each image, a single one for all, or None.
        count: Number of images.
        classes: Names of the classes by index; empty if they are not known.
        field: Name of the argument in errors.

    Returns:
        One index an image; none for None.

    Raises:
        InvalidArgument: A name is unknown or ambiguous, an index is outside the classes, or there
            are not as many labels as images.
    """
    if labels is None:
        return []
    wanted = f"a class index or name for each image, {count}, or a single one for all"
    items = [labels] * count if is_single_label(labels) else listed(field, labels, wanted)
    if len(items) != count:
        raise invalid(
            field, f"must be one an image, {count}, or a single one for all; are {len(items)}"
        )
    places = (
        {_plain(name): [] for name in classes}
        if any(isinstance(item, str) for item in items)
        else {}
    )  # type: dict[str, list[int]]
    for place, name in enumerate(classes if places else ()):
        places[_plain(name)].append(place)
    return [_as_index(item, classes, places, f"{field}[{row}]") for row, item in enumerate(items)]


def is_single_label(labels: object) -> bool:
    """Says whether the labels argument is one label, not one for each image."""
    return (
        isinstance(labels, str)
        or not isinstance(labels, Iterable)
        or getattr(labels, "ndim", 1) == 0
    )


def _plain(name: str) -> str:
    return name.translate(str.maketrans("", "", " -_")).casefold()


def _as_index(
    label: Label, classes: Sequence[str], places: dict[str, list[int]], field: str
) -> int:
    if isinstance(label, str):
        return _named(label, classes, places, field)
    try:
        if isinstance(label, bool) or "bool" in str(getattr(label, "dtype", "")):
            raise TypeError("a boolean is no label")
        number = index(label)  # integers of other libraries too, but no floats
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: torch, of several elements
        raise invalid(field, f"must be a class index or name, is {label!r}") from None
    if number < 0 or (classes and number >= len(classes)):
        raise invalid(
            field,
            f"must be 0 to {len(classes) - 1}, is {number}"
            if classes
            else f"must be at least 0, is {number}",
        )
    return number


def _named(name: str, classes: Sequence[str], places: dict[str, list[int]], field: str) -> int:
    found = [
        place for place in places.get(_plain(name), ()) if classes[place] == name
    ] or places.get(_plain(name), [])
    if len(found) == 1:
        return found[0]
    if found:
        raise invalid(
            field, f"{name!r} names the classes {', '.join(map(str, found))}: use an index"
        )
    raise _unknown(name, classes, field)


def _unknown(name: str, classes: Sequence[str], field: str) -> InvalidArgument:
    nearest = difflib.get_close_matches(name, classes, n=3, cutoff=0.5)
    return invalid(
        field,
        f"no class is called {name!r}" + (f"; nearest: {', '.join(nearest)}" if nearest else ""),
    )
