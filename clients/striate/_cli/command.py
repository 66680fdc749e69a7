"""What turns a function into a command: the options that all commands share, and groups of options
that several share.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any

import typer

from striate._cli.connection import connection_options, keyword
from striate._cli.session import open_session

Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0, help="Give up after so long. Default: never."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else to stdout.")
]


@dataclass(frozen=True)
class OptionGroup:
    """Options that are read together into one value.

    Attributes:
        parameters: The options by name, each with its typer annotation and default.
        read: Called with the options' values by name; returns the value. May raise
            typer.BadParameter and InvalidArgument.
    """

    parameters: Mapping[str, inspect.Parameter]
    read: Callable[..., Any]


def option_group(read: Callable[..., Any]) -> OptionGroup:
    """Makes a group of the options that are a function's parameters.

    Args:
        read: The function, whose parameters are annotated as typer reads them.

    Returns:
        The group.
    """
    return OptionGroup(inspect.signature(read, eval_str=True).parameters, read)


def merged(*groups: OptionGroup) -> OptionGroup:
    """Makes one group of several that each read a dictionary.

    Args:
        groups: The groups, in the order of their options.

    Returns:
        A group that reads one dictionary of all their entries.
    """

    def read(**values: Any) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for group in groups:
            entries |= group.read(**{name: values[name] for name in group.parameters})
        return entries

    return OptionGroup({k: one for group in groups for k, one in group.parameters.items()}, read)


def command(**groups: OptionGroup) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a function that is a command.

    The function's first parameter is the Session; the others are arguments and options as typer
    reads them, behind which --server and how it is reached, --timeout and --json are added. A
    parameter that is named in
    `groups` stands for the group's options, and is given the value that they are read into.

    Args:
        groups: Groups of options by the name of the parameter.

    Returns:
        The decorator.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def run(timeout: float | None, as_json: bool, **values: Any) -> None:
            reached = {one.name: values.pop(one.name) for one in connection_options()}
            with open_session(reached, timeout, as_json, dict(values)) as session:
                for name, group in groups.items():
                    values[name] = group.read(**{key: values.pop(key) for key in group.parameters})
                function(session, **values)

        _, *arguments = inspect.signature(function, eval_str=True).parameters.values()
        parameters = [*_expanded(arguments, groups), *_common_options()]
        # what typer reads
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def _expanded(
    parameters: Iterable[inspect.Parameter], groups: Mapping[str, OptionGroup]
) -> Iterable[inspect.Parameter]:
    """The parameters, with the options of its group in the place of each that stands for one."""
    for parameter in parameters:
        for one in (
            groups[parameter.name].parameters.values() if parameter.name in groups else (parameter,)
        ):
            yield one.replace(kind=inspect.Parameter.KEYWORD_ONLY)


def _common_options() -> Iterable[inspect.Parameter]:
    yield from connection_options()
    yield keyword("timeout", Timeout, None)
    yield keyword("as_json", Json, False)
