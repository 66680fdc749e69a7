"""Objectives as the command line spells them: those of Objective.parse, and vectors and images
that lie in files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from striate._rpc.unit_names import QUOTED, hide_quoted
from striate.errors import invalid
from striate.objective import (
    ComparisonName,
    Direction,
    KindName,
    Like,
    Objective,
    Sum,
    Term,
    Unit,
    expression,
    interpolate,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELP = (
    "direction(LAYER,FILE.npy), also cosine(...) and dot-cosine(...), or "
    "inversion(LAYER,IMAGE), caricature(...), style(...)"
)
_DIRECTIONS: dict[str, ComparisonName] = {
    "direction": "dot",
    "dot": "dot",
    "cosine": "cosine",
    "dot-cosine": "dot-cosine",
}
_LIKENESSES: dict[str, KindName] = {
    "inversion": "inversion",
    "caricature": "caricature",
    "style": "style",
}
_FORMS = re.compile(r"\b(?:neg|abs)\(")
_CALL = re.compile(
    rf"(?P<kind>{'|'.join((*_DIRECTIONS, *_LIKENESSES))})\(\s*"
    rf"(?P<layer>{QUOTED}|[^\s:@,()]+)(@(?P<row>\d+),(?P<column>\d+))?"
    r"\s*,\s*(?P<file>.*?)(\s*,\s*power=(?P<power>[^,]+?))?\s*\)"
)


def parse(texts: list[str], between: int | None = None) -> list[str | Objective]:
    """Parses objectives.

    Args:
        texts: One text an objective, e.g. "layer:7 - 0.5*layer:8" or "style(LAYER,IMAGE)".
        between: So many objectives, in even steps from the first to the second of two; None for
            the objectives themselves.

    Returns:
        The objectives; texts without files or vectors as they are.

    Raises:
        InvalidArgument: A text is no objective, or `between` goes not with two of them.
        OSError: A file cannot be read.
    """
    objectives = [_parse_sum(text) if _has_call(text) else text for text in texts]
    if between is None:
        return objectives
    if len(objectives) != 2:
        raise invalid(
            "between", f"goes from one objective to another: name two, not {len(objectives)}"
        )
    return list(interpolate(objectives[0], objectives[1], between))


def _has_call(text: str) -> bool:
    """Whether a term is of the form kind(...): parentheses in quoted names are none, and those of
    neg(...) and abs(...) hold the name of a unit.
    """
    hidden, _ = hide_quoted(text)
    return "(" in _FORMS.sub("", hidden)


def _parse_sum(text: str) -> Objective:
    """An objective whose terms may hold files, e.g. "layer:7 + 2*direction(LAYER,FILE.npy)"."""
    return Sum(tuple((weight, _parse_term(name)) for weight, name in expression.read(text)))


def _parse_term(text: str) -> Term:
    """A unit, or one of the forms in HELP."""
    if not _has_call(text):
        return Unit(text)
    match = _CALL.fullmatch(text)
    if match is None:
        raise invalid(
            "objectives",
            f"{text!r} must be of the form {HELP}; with LAYER@ROW,COLUMN for one place, "
            f"power=2 last",
        )
    kind, layer, file = match.group("kind", "layer", "file")
    position = (int(match["row"]), int(match["column"])) if match["row"] else None
    power = _power(match["power"]) if match["power"] else None
    if kind in _DIRECTIONS:
        return Direction(layer, _vector(file), _DIRECTIONS[kind], power, position)
    if position is not None:
        raise invalid("objectives", f"{text!r} is of a whole layer: it has no @ROW,COLUMN")
    return Like(file, layer, _LIKENESSES[kind], power)


def _power(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise invalid("power", f"must be a number, is {text!r}") from None


def _vector(file: str) -> NDArray[Any]:
    """The numbers in a .npy file."""
    import numpy as np

    try:
        vector: NDArray[Any] = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise invalid("vector", f"{file} is no .npy file of numbers ({error})") from None
    return vector
