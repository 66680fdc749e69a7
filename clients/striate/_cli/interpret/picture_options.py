"""How pictures are made, as the command line spells it: the options of all commands with pictures.

They are derived from the dataclass of the settings and from the classes of `striate.space`,
`striate.view` and `striate.regularize`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_args

import typer

from striate import regularize, space, view
from striate._cli.arguments import fraction
from striate._cli.command import OptionGroup, option_group
from striate._cli.connection import keyword
from striate._cli.dataclass_options import annotated, build, settings_of, syntax
from striate._cli.docstrings import summary
from striate._requests.picture_settings import PictureSettings
from striate._rpc.unit_names import hide_quoted


def _by_name(union: Any) -> dict[str, type[Any]]:
    """The classes of a union by their names in lower case."""
    return {kind.__name__.lower(): kind for kind in get_args(union)}


_VIEWS = _by_name(view.View)
_SPACES = _by_name(space.Space)
_REGULARIZERS = {
    {"totalvariation": "tv"}.get(name, name): kind
    for name, kind in _by_name(regularize.Regularizer).items()
}
_DATASET_OPTION = "--spectrum-dataset"  # of the spaces whose first field is a data set
_LEFT_OUT = ("priority",)  # people are interactive


def _takes_dataset(kind: type[Any]) -> bool:
    return any(one.name == "dataset" for one in fields(kind)[:1])


def _usage(name: str, kind: type[Any]) -> str:
    """How the command line spells a value of a class, e.g. "cppn[=DEPTH[,WIDTH]]"."""
    first = int(_takes_dataset(kind))
    amounts = f"={syntax(kind, without=first)}" if fields(kind)[first:] else ""
    required = any(one.default is MISSING for one in fields(kind)[first:])
    return f"{name}{amounts}" if required or not amounts else f"{name}[{amounts}]"


def _read_views(
    transforms: Annotated[
        bool, typer.Option(help="Optimize under random jitter, rotation and scale.")
    ] = True,
    transform: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=AMOUNT",
            help="Instead of those, in this order; repeatable: "
            f"{', '.join(_usage(*item) for item in _VIEWS.items())}.",
        ),
    ] = None,
) -> bool | list[view.View]:
    """Reads the views of --transform, or else of --transforms."""
    if not transform:
        return transforms
    if not transforms:
        raise typer.BadParameter("goes not with --no-transforms", param_hint="--transform")
    return [_read_view(text) for text in transform]


def _read_view(text: str) -> view.View:
    name, _, values = text.partition("=")
    name = name.strip()
    if name not in _VIEWS:
        raise typer.BadParameter(
            f"{name!r} is none of {', '.join(_VIEWS)}", param_hint="--transform"
        )
    found: view.View = build(_VIEWS[name], values, "--transform", f"{name}=")
    return found


def _read_space(
    space_text: Annotated[
        str | None,
        typer.Option(
            "--space",
            metavar="NAME[=AMOUNTS]",
            help="Where the picture lives: "
            f"{', '.join(_usage(*item) for item in _SPACES.items())}. Default: fourier.",
        ),
    ] = None,
    spectrum_dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Data set that maco takes its spectrum from.")
    ] = None,
) -> space.Space | None:
    """Reads the parameterization of --space."""
    name, _, values = (space_text or "").partition("=")
    kind = _SPACES.get(name)
    if (kind is not None and _takes_dataset(kind)) != (spectrum_dataset is not None):
        names = ", ".join(name for name, kind in _SPACES.items() if _takes_dataset(kind))
        raise typer.BadParameter(
            f"goes with --space {names}, which needs it", param_hint=_DATASET_OPTION
        )
    if space_text is None:
        return None
    if kind is None:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(_SPACES)}", param_hint="--space")
    first = () if spectrum_dataset is None else (spectrum_dataset,)
    found: space.Space = build(kind, values, "--space", f"{name}=", *first)
    return found


def _regularizer_options() -> Iterable[inspect.Parameter]:
    """An option for each regularizer, which takes its amounts."""
    for name, kind in _REGULARIZERS.items():
        option = typer.Option(f"--{name}", metavar=syntax(kind), help=summary(kind))
        yield keyword(name, Annotated[str | None, option], None)


def _read_regularizers(**values: str | None) -> list[regularize.Regularizer]:
    """Reads those that are given."""
    return [
        build(_REGULARIZERS[name], text, f"--{name}")
        for name, text in values.items()
        if text is not None
    ]


_GROUPS: Mapping[str, OptionGroup] = {  # of the settings that are more than one value
    "transforms": option_group(_read_views),
    "parameterization": option_group(_read_space),
    "regularizers": OptionGroup(
        {one.name: one for one in _regularizer_options()}, _read_regularizers
    ),
}


def _options() -> Iterable[inspect.Parameter]:
    """The options of every setting, in the order of the dataclass."""
    for name, setting in settings_of(PictureSettings).items():
        if name in _GROUPS:
            yield from _GROUPS[name].parameters.values()
        elif name not in _LEFT_OUT:
            flag = (setting.option,) if setting.value_type is bool else ()
            yield keyword(name, annotated(setting, setting.help, *flag), setting.default)


def _read(**values: Any) -> dict[str, Any]:
    """Reads the options as keyword arguments of `Model.visualize`."""
    settings = {}
    for name in settings_of(PictureSettings):
        if name in _GROUPS:
            group = _GROUPS[name]
            settings[name] = group.read(**{key: values[key] for key in group.parameters})
        elif name in values:
            settings[name] = values[name]
    return settings


PICTURE_SETTINGS = OptionGroup({one.name: one for one in _options()}, _read)


def read_diversity(text: str | None) -> str | tuple[str, float] | None:
    """Reads "LAYER" or "LAYER=WEIGHT".

    Raises:
        typer.BadParameter: The weight is no number.
    """
    hidden, restore = hide_quoted(text or "")
    layer, equals, weight = hidden.partition("=")
    return (restore(layer), fraction(weight)) if equals else restore(layer) or None
