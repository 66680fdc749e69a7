"""The attacks as the command line spells them: a name, and settings as options or behind a
colon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal

import typer

from striate._cli.console import fraction
from striate.attacks import APGD, FAB, FGSM, PGD, AutoAttack, Square

Method = FGSM | PGD | APGD | FAB | Square | AutoAttack
MethodName = Literal["fgsm", "pgd", "mi-fgsm", "apgd", "apgd-t", "fab", "square", "autoattack"]

_METHODS: dict[
    str, tuple[type[Method], dict[str, Any]]
] = {  # the attack, and what its name implies
    "fgsm": (FGSM, {}),
    "pgd": (PGD, {}),
    "mi-fgsm": (PGD, {"decay": 1.0, "random_start": False}),
    "apgd": (APGD, {}),
    "apgd-t": (APGD, {"target_classes": 9}),
    "fab": (FAB, {}),
    "square": (Square, {}),
    "autoattack": (AutoAttack, {}),
}
_BALL = ("epsilon", "norm")
_FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def build(name: str, settings: Mapping[str, Any]) -> Method:
    """The attack of that name with those settings, where None leaves the attack's own default.

    Raises typer.BadParameter for a setting that the attack does not have, and InvalidArgument for
    one out of its range.
    """
    kind, implied = _METHODS[name]
    given = {key: value for key, value in settings.items() if value is not None}
    known = [one.name for one in fields(kind)]
    for key in given:
        if key not in known:
            words = ", ".join(known_one.replace("_", "-") for known_one in known)
            raise typer.BadParameter(
                f"{name} has none; it has {words}", param_hint=f"--{key.replace('_', '-')}"
            )
    return kind(**implied | given)


def read(text: str) -> Method:
    """An attack of an audit, e.g. "apgd" or "pgd:steps=100,restarts=5". Raises typer.BadParameter,
    InvalidArgument.
    """
    name, _, rest = text.partition(":")
    if name not in _METHODS:
        raise typer.BadParameter(
            f"{name!r} is none of {', '.join(_METHODS)}", param_hint="--attack"
        )
    types = {one.name: str(one.type) for one in fields(_METHODS[name][0]) if one.name not in _BALL}
    settings = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or key not in types:
            known = ", ".join(types) or "no settings"
            raise typer.BadParameter(
                f"{part!r} is no setting of {name}, which has {known}; write SETTING=VALUE",
                param_hint="--attack",
            )
        settings[key] = _value(types[key], value.strip(), f"{name}:{part}")
    return build(name, settings)


def _value(kind: str, text: str, where: str) -> Any:
    """The value in a text, by the type of its field: the first word of the annotation tells."""
    readers: dict[str, Callable[[str], Any]] = {
        "int": int,
        "float": fraction,
        "bool": lambda word: _FLAGS[word.lower()],
    }
    try:
        return readers.get(kind.split()[0], str)(text)
    except (ValueError, KeyError):
        raise typer.BadParameter(
            f"{where!r}: {text!r} is no {kind.split()[0]}", param_hint="--attack"
        ) from None
