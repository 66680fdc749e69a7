"""Options derived from the fields of dataclasses: their types, defaults and descriptions."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from striate._cli.arguments import fraction, number_option
from striate._cli.docstrings import attributes, without_default


@dataclass(frozen=True)
class Setting:
    """A field of a dataclass, as the command line offers it.

    Attributes:
        name: Name of the field.
        annotation: Its type, e.g. `int`, `float | None` or a `Literal` of names.
        default: Its default value; dataclasses.MISSING without one.
        description: What the dataclass's docstring says of it, "" for nothing.
        none_means: What the docstring says that None stands for, "" for nothing.
    """

    name: str
    annotation: Any
    default: Any
    description: str
    none_means: str

    @property
    def help(self) -> str:
        """The description, with the default that None stands for."""
        end = f" Default: {self.none_means}." if self.none_means else ""
        return f"{self.description}{end}"

    @property
    def option(self) -> str:
        """The option's name, e.g. "--random-start"."""
        return f"--{self.name.replace('_', '-')}"

    @cached_property
    def value_type(self) -> Any:
        """The type without None: int, float, bool, str or a Literal."""
        if get_origin(self.annotation) not in (Union, types.UnionType):
            return self.annotation
        (kind,) = (one for one in get_args(self.annotation) if one is not type(None))
        return kind


def settings_of(kind: type) -> Mapping[str, Setting]:
    """The fields of a dataclass by name, in their order.

    Args:
        kind: The dataclass.

    Returns:
        The settings.
    """
    hints, descriptions = get_type_hints(kind), attributes(kind)
    return {
        one.name: Setting(
            one.name, hints[one.name], one.default, *without_default(descriptions.get(one.name, ""))
        )
        for one in fields(kind)
    }


def annotated(setting: Setting, help_text: str, *names: str, **more: Any) -> Any:
    """Makes the annotation, as typer reads it, of an option that takes a field's values or None.

    Args:
        setting: The field.
        help_text: Description of the option.
        names: The option's names, if not derived from the field's.
        more: Further arguments of typer.Option.

    Returns:
        The annotation.
    """
    option = (
        number_option(help_text, **more)
        if setting.value_type is float
        else typer.Option(*names, help=help_text, **more)
    )
    return Annotated[setting.value_type | None, option]


def syntax(kind: type, without: int = 0) -> str:
    """The values of a dataclass as the command line spells them, e.g. "SIGMA[,EVERY]".

    Args:
        kind: The dataclass.
        without: So many of its first fields are given otherwise.

    Returns:
        The names of its fields in capitals; further ones that have a default are in brackets.
    """
    text = ""
    for one in reversed(fields(kind)[without + 1 :]):
        text = f",{one.name.upper()}{text}"
        text = text if one.default is MISSING else f"[{text}]"
    return "".join(one.name.upper() for one in fields(kind)[without : without + 1]) + text


def build(kind: type[Any], text: str, option: str, prefix: str = "", *first: object) -> Any:
    """Builds a dataclass of numbers from a text such as "0.005,4".

    Args:
        kind: The dataclass.
        text: Its values in the order of its fields, separated by commas.
        option: The option that gave the text, for errors.
        prefix: What stands before the text in the option's value, for errors.
        first: Values of the first fields, which are given otherwise.

    Returns:
        The dataclass.

    Raises:
        typer.BadParameter: A value is no number, or there are more or fewer than it has.
        InvalidArgument: A value is out of its range.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    try:
        values = [int(word) if word.isdigit() else fraction(word) for word in words]
        return kind(*first, *values)
    except typer.BadParameter as error:
        raise typer.BadParameter(error.message, param_hint=option) from None
    except TypeError:
        names = ",".join(one.name.upper() for one in fields(kind)[len(first) :]) or "nothing"
        raise typer.BadParameter(
            f"{prefix}{text} must be of the form {prefix}{names}", param_hint=option
        ) from None
