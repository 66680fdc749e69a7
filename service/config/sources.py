"""Where settings come from: the TOML file, then the environment, then flags, of which the last to
give one counts.
"""

import argparse
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from service.config.settings import Settings, dataset_uris

ENVIRONMENT = "STRIATE_"
SETTABLE = tuple(name for name in Settings.model_fields if name != "models")  # by flag

REPEATED = ("model", "bundle", "dataset")
SWITCHES = tuple(n for n, field in Settings.model_fields.items() if field.annotation is bool)
# settings of one path each, which in a file starts at the file's folder
_PATHS = ("weights_dir", "state_dir", "tls_certificate", "tls_key", "tls_client_ca")
_METAVARS = {
    "dataset": "NAME=URI",
    "model": "NAME",
    "bundle": "FILE",
    "weights_dir": "DIR",
    "state_dir": "DIR",
    "settings": "FILE",
    "tls_certificate": "FILE",
    "tls_key": "FILE",
    "tls_client_ca": "FILE",
    "host": "ADDRESS",
    "metrics_host": "ADDRESS",
}


@dataclass(frozen=True)
class SettingsSource:
    """One place that gives settings.

    Attributes:
        values: what it gives, by the settings' names, unchecked.
        label: a setting's name -> what messages call it here.
    """

    values: dict[str, Any]
    label: Callable[[str], str]


def flag(name: str) -> str:
    """Name the flag of a setting.

    Args:
        name: of the setting, e.g. "state_dir".

    Returns:
        The flag, e.g. "--state-dir".
    """
    return f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    """Name the environment variable of a setting.

    Args:
        name: of the setting, e.g. "state_dir".

    Returns:
        The name, e.g. "STRIATE_STATE_DIR".
    """
    return ENVIRONMENT + name.upper()


def load_settings(argv: Sequence[str] | None = None) -> Settings:
    """Read the settings of this process.

    A wrong setting ends the process with code 2 and a line for each that names it and says where it
    was set.

    Args:
        argv: the flags; None: the process's own.

    Returns:
        The settings from flags, environment, and the file that `--settings` or STRIATE_SETTINGS
        names.
    """
    parser = _flag_parser()
    flags = SettingsSource(vars(parser.parse_args(argv)), flag)
    environment = SettingsSource(_read_environment(), variable)
    path = flags.values.get("settings") or environment.values.get("settings")
    try:
        file = SettingsSource(read_file(Path(path)) if path else {}, lambda name: f"{path}: {name}")
        sources = (file, environment, flags)
        return Settings.model_validate(_merge(sources))
    except ValidationError as error:
        lines = (f"striate-server: {line}\n" for line in _complaints(error, sources))
        parser.exit(2, "".join(lines))
    except (OSError, ValueError) as error:
        parser.exit(2, f"striate-server: {error}\n")


def _flag_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "striate-server", description=Settings.__doc__, allow_abbrev=False
    )
    for name in SETTABLE:
        field = Settings.model_fields[name]
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = ", ".join(default) if isinstance(default, tuple | dict) else default
        text = str(field.description)
        if name in SWITCHES:
            parser.add_argument(
                flag(name), action="store_true", default=argparse.SUPPRESS, help=text
            )
            continue
        parser.add_argument(
            flag(name),
            action="append" if name in REPEATED else "store",
            default=argparse.SUPPRESS,
            metavar=_METAVARS.get(name, name.rsplit("_", 1)[-1].upper()),
            help=text + ("" if shown is None else f" (default: {shown})"),
        )
    return parser


def _read_environment() -> dict[str, str]:
    """The settings that the environment gives; an empty variable gives none."""
    given = {name: os.environ.get(variable(name), "") for name in SETTABLE}
    return {name: value for name, value in given.items() if value}


def read_file(path: Path) -> dict[str, Any]:
    """Read a settings file.

    Args:
        path: of a TOML file; relative paths in it start at its folder.

    Returns:
        Its tables, unchecked.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no TOML, or names another settings file.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no TOML, or no text
        raise ValueError(f"{path}: {error}") from error
    if "settings" in given:
        raise ValueError(f"{path}: a settings file cannot name another")
    _make_absolute(path.parent, given, *_PATHS)
    if isinstance(given.get("bundle"), list):
        given["bundle"] = [path.parent / str(file) for file in given["bundle"]]
    uri = given.get("index_uri")
    if isinstance(uri, str) and "://" not in uri:
        given["index_uri"] = str(path.parent / uri)
    models = given.get("models", {})
    for table in models.values() if isinstance(models, dict) else ():
        if isinstance(table, dict):
            _make_absolute(path.parent, table, "weights", "labels")
            _make_source_absolute(path.parent, table)
    return given


def _make_absolute(folder: Path, table: dict[str, Any], *names: str) -> None:
    """Have the paths of a table start at a folder."""
    for name in names:
        if isinstance(table.get(name), str):
            table[name] = folder / table[name]


def _make_source_absolute(folder: Path, table: dict[str, Any]) -> None:
    """Have the folder of a source, which begins with "./" or "../", start at a folder."""
    source = table.get("source")
    if isinstance(source, str):
        prefix, _, rest = source.partition(":")
        if rest.startswith(("./", "../")):
            table["source"] = f"{prefix}:{folder.absolute() / rest}"


def _merge(sources: Sequence[SettingsSource]) -> dict[str, Any]:
    """What all sources give, the later ones before the earlier; data sets are gathered from all.
    Raises ValueError.
    """
    merged: dict[str, Any] = {}
    datasets: dict[str, Any] = {}
    for source in sources:
        merged |= source.values
        try:
            datasets |= dataset_uris(source.values.get("dataset", {}))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source.label('dataset')}: {error}") from error
    return merged | ({"dataset": datasets} if datasets else {})


def _complaints(error: ValidationError, sources: Sequence[SettingsSource]) -> Iterator[str]:
    """A line for each wrong setting: where it was set, what it must be, what it is."""
    for detail in error.errors():
        if not detail["loc"]:  # of several settings together; the message names one
            name, _, problem = detail["msg"].removeprefix("Value error, ").partition(": ")
            givers = [source for source in sources if name in source.values]
            yield f"{givers[-1].label(name) if givers else name}: {problem}"
            continue
        givers = [source for source in sources if detail["loc"][0] in source.values]
        last = givers[-1] if givers else sources[0]
        where = last.label(".".join(map(str, detail["loc"])))
        yield f"{where}: {detail['msg'].removeprefix('Value error, ')} (is {detail['input']!r})"
