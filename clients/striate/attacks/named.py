"""Attacks by name: "pgd" is what `PGD()` is."""

from __future__ import annotations

import difflib

from striate.attacks.base import Attack
from striate.attacks.epsilon_search import EpsilonSearch
from striate.attacks.methods import ATTACKS
from striate.errors import invalid


def named_attack(
    field: str, attack: Attack | EpsilonSearch | str | type[Attack]
) -> Attack | EpsilonSearch:
    """Reads an attack that may be given by its name or class, with its default settings.

    Args:
        field: Name of the argument in errors.
        attack: The attack, or a name such as "pgd" or "auto-attack", in any case.

    Returns:
        The attack; anything that is neither a name nor a class is given back.

    Raises:
        InvalidArgument: No attack is called so.
    """
    if isinstance(attack, type) and attack in ATTACKS.values():
        return attack()
    if not isinstance(attack, str):
        return attack  # type: ignore[return-value]  # what it is is checked where it is written
    by_word = {_word(name): kind for name, kind in ATTACKS.items()}
    if (kind := by_word.get(_word(attack))) is not None:
        return kind()
    near = difflib.get_close_matches(_word(attack), by_word, 1)
    hint = f"; did you mean {by_word[near[0]].__name__.lower()!r}?" if near else ""
    names = ", ".join(repr(kind.__name__.lower()) for kind in ATTACKS.values())
    raise invalid(field, f"{attack!r} is no attack: they are {names}{hint}")


def _word(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
