"""The attacks as the command line spells them: a name, and settings as options or behind a colon.

All is derived from the registry `striate.attacks.ATTACKS` and its dataclasses.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

import typer

from striate._cli.arguments import fraction
from striate._cli.command import OptionGroup
from striate._cli.connection import keyword
from striate._cli.dataclass_options import Setting, annotated, settings_of
from striate.attacks import APGD, ATTACKS, PGD, Attack
from striate.attacks.epsilons import radius

BALL = ("epsilon", "norm")  # what an audit's threat models give instead
_DEFAULT_METHOD = "pgd"
_VARIANTS: Mapping[str, tuple[type[Attack], dict[str, Any]]] = {  # what further names stand for
    "mi-fgsm": (PGD, {"decay": 1.0, "random_start": False}),
    "apgd-t": (APGD, {"target_classes": 9}),
}
_FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def _method_names() -> Iterable[tuple[str, tuple[type[Attack], dict[str, Any]]]]:
    """Every attack by the name of its class, each followed by its variants."""
    for kind in ATTACKS.values():
        yield kind.__name__.lower(), (kind, {})
        yield from (item for item in _VARIANTS.items() if item[1][0] is kind)


METHODS: Mapping[str, tuple[type[Attack], dict[str, Any]]] = dict(_method_names())
_SETTINGS = {name: settings_of(kind) for name, (kind, _) in METHODS.items()}


def build(name: str, values: Mapping[str, Any]) -> Attack:
    """Builds the attack of a name.

    Args:
        name: Name of the method, e.g. "apgd-t".
        values: Its settings by field, where None leaves the attack's own default.

    Returns:
        The attack.

    Raises:
        typer.BadParameter: The attack does not have one of the settings.
        InvalidArgument: A setting is out of its range.
    """
    kind, implied = METHODS[name]
    given = {key: value for key, value in values.items() if value is not None}
    for key in given:
        if key not in _SETTINGS[name]:
            known = ", ".join(one.replace("_", "-") for one in _SETTINGS[name])
            raise typer.BadParameter(
                f"{name} has none; it has {known}", param_hint=f"--{key.replace('_', '-')}"
            )
    return kind(**implied | given)


def parse(text: str) -> Attack:
    """Reads an attack of an audit, e.g. "apgd" or "pgd:steps=100,restarts=5".

    Raises:
        typer.BadParameter: No attack has that name, or the attack not that setting.
        InvalidArgument: A setting is out of its range.
    """
    name, _, rest = text.partition(":")
    if name not in METHODS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(METHODS)}", param_hint="--attack")
    settings = {key: one for key, one in _SETTINGS[name].items() if key not in BALL}
    values = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or key not in settings:
            known = ", ".join(settings) or "no settings"
            raise typer.BadParameter(
                f"{part!r} is no setting of {name}, which has {known}; write SETTING=VALUE",
                param_hint="--attack",
            )
        values[key] = _value(settings[key], value.strip(), f"{name}:{part}")
    return build(name, values)


def _value(setting: Setting, text: str, where: str) -> Any:
    """The value in a text, by the type of its field."""
    readers: dict[Any, Callable[[str], Any]] = {
        int: int,
        float: fraction,
        bool: lambda word: _FLAGS[word.lower()],
    }
    try:
        return readers.get(setting.value_type, str)(text)
    except (ValueError, KeyError):
        raise typer.BadParameter(
            f"{where!r}: {text!r} is no {setting.value_type.__name__}", param_hint="--attack"
        ) from None


def _options() -> Iterable[inspect.Parameter]:
    """--method, --epsilon, --norm, and an option for every setting that any attack has."""
    text = f"The attack; {'; '.join(map(_variant_help, _VARIANTS))}."
    names: Any = Literal.__getitem__(tuple(METHODS))
    yield keyword("method", Annotated[names, typer.Option(help=text)], _DEFAULT_METHOD)
    for key in BALL:
        setting = _SETTINGS[_DEFAULT_METHOD][key]
        more = {"show_default": radius(setting.default)} if setting.value_type is float else {}
        yield keyword(key, annotated(setting, setting.description, **more), setting.default)
    for key in dict.fromkeys(key for settings in _SETTINGS.values() for key in settings):
        if key not in BALL:
            setting = next(settings[key] for settings in _SETTINGS.values() if key in settings)
            yield keyword(key, annotated(setting, f"{setting.description} {_owners(key)}"), None)


def _variant_help(name: str) -> str:
    kind, implied = _VARIANTS[name]
    words = ", ".join(f"{key.replace('_', '-')} {_shown(value)}" for key, value in implied.items())
    return f"{name} is {kind.__name__.lower()} with {words}"


def _owners(key: str) -> str:
    """Which attacks have a setting, and by what default."""
    owners: dict[str, list[str]] = {}
    for kind in ATTACKS.values():
        name = kind.__name__.lower()
        if key in _SETTINGS[name]:
            setting = _SETTINGS[name][key]
            value = setting.none_means if setting.default is None else _shown(setting.default)
            owners.setdefault(value, []).append(name)
    texts = (", ".join(names) + (f": {value}" if value else "") for value, names in owners.items())
    return f"For {'; '.join(texts)}."


def _shown(default: object) -> str:
    """A value for people."""
    return {True: "yes", False: "no"}[default] if isinstance(default, bool) else str(default)


def _read(method: str, **values: Any) -> Attack:
    return build(method, values)


ATTACK = OptionGroup({one.name: one for one in _options()}, _read)
