"""The settings of a server: flags, then the environment (STRIATE_*), then a TOML file, in one
frozen object.
"""

import argparse
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

EMBEDDED = ("cifar10-plain", "cifar10-robust", "digits-lenet5")
ENVIRONMENT = "STRIATE_"

_NAME = re.compile(r"[\w.-]{1,100}")


def _state() -> Path:
    """The user's folder for state, by the XDG convention."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "striate"


def _listed(value: object) -> object:
    """A text with commas (from the environment) as its parts."""
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


def _pairs(value: object) -> Any:
    """NAME=URI, as flags give it in a list and the environment in one text with commas between
    pairs, as a table.

    Raises:
        ValueError: a pair is none.
    """
    if isinstance(value, str):
        value = re.split(r",(?=[\w.-]+=)", value)  # a comma inside a URI is none between pairs
    if not isinstance(value, list):
        return value
    pairs = [str(text).strip().partition("=") for text in value]
    for name, _, uri in pairs:
        if not _NAME.fullmatch(name) or not uri:
            raise ValueError(
                f"must be NAME=URI, with a name of letters, digits, '_', '.' and '-', not "
                f"{name + _ + uri!r}"
            )
    return {name: uri for name, _, uri in pairs}


def _square(value: object) -> object:
    """One number as both height and width."""
    return (value, value) if isinstance(value, int) else value


_Extent = Annotated[int, Field(ge=1, le=4096)]
_Port = Annotated[int, Field(ge=0, le=65535)]


class ModelTable(BaseModel):
    """A user's own network: a `[models.NAME]` table of the settings file.

    What is left out beside an architecture is taken from its own settings. Relative paths start at
    the settings file's folder.

    Attributes:
        factory: "module:function", called without arguments for the module; found on the server's
            own Python path.
        architecture: instead of a factory, a name that the zoo knows, e.g. "resnet18".
        weights: a .safetensors or .pth file; none: the factory's module has its own, or the
            architecture's published ones.
        mean, std: per channel, in pixel units of [0, 1].
        size: input pixels, one number or [height, width].
        channels: of the input, 1 or 3.
        resize: pixels of the short side before the centre crop; default: the larger of height and
            width.
        labels: class names, or a text file with one a line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    factory: str | None = Field(None, pattern=r"^[\w.]+:\w+$")
    architecture: str | None = None
    weights: Path | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    size: Annotated[tuple[_Extent, _Extent], BeforeValidator(_square)] | None = None
    channels: Literal[1, 3] | None = None
    resize: int | None = Field(None, ge=1, le=8192)
    interpolation: Literal["nearest", "bilinear", "bicubic"] | None = None
    labels: tuple[str, ...] | Path | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelTable":
        if (self.factory is None) == (self.architecture is None):
            raise ValueError("must have either factory or architecture")
        if self.factory is not None and (
            self.size is None or self.mean is None or self.std is None
        ):
            raise ValueError("a factory needs size, mean and std beside it")
        channels = self.channels or (len(self.mean) if self.mean and self.factory else None)
        if channels not in (None, 1, 3):
            raise ValueError("mean must have one value for each channel, 1 or 3")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and channels is not None and len(values) != channels:
                raise ValueError(f"{name} must have one value for each of the {channels} channels")
        return self


class Settings(BaseModel):
    """Hosts pretrained CNNs over gRPC: what each unit sees, and what fools the whole.

    Every flag can also be set as environment variable STRIATE_NAME (several values with commas
    between) or in the TOML file; flags win, then the environment. Data sets are gathered from all
    three.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: _Port = Field(50051, description="port to listen on; 0 picks a free one")
    model: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        EMBEDDED, description="model to load at start; may be repeated"
    )
    weights_dir: Path | None = Field(
        None,
        description="folder of NAME.safetensors or NAME.pth, read before anything is downloaded",
    )
    dataset: dict[str, str] = Field(
        {"digits": "digits", "photo-patches": "photo-patches"},
        description="data set as NAME=URI; may be repeated",
    )
    state_dir: Path = Field(
        default_factory=_state, description="folder of indexes, operations and downloads"
    )
    index_uri: str | None = Field(
        None,
        min_length=1,
        description="folder or fsspec URL of indexes, e.g. s3://bucket/prefix; default: in the "
        "state "
        "folder",
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N"
    )
    threads: int = Field(
        0, ge=0, le=1024, description="CPU threads of the engine; 0 leaves it to torch"
    )
    queue_size: int = Field(256, ge=1, description="jobs that may wait; more are refused")
    tick_rows: int = Field(0, ge=0, description="most images of one pass; 0 chooses by device")
    memory_bytes: int = Field(
        0, ge=0, description="memory for jobs and passes; 0 chooses by device"
    )
    deterministic_chunk: int = Field(
        0, ge=0, le=256, description="images of a deterministic pass; 0: 8 on a CPU, 32 on a GPU"
    )
    picture_cache_bytes: int = Field(
        2 * 2**30, ge=0, description="disk space for pictures of whole layers; 0 keeps none"
    )
    drain_seconds: float = Field(
        20.0, ge=0, le=86400, description="time that calls have to finish after SIGTERM"
    )
    metrics_port: _Port = Field(0, description="port of Prometheus' metrics; 0 serves none")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="json for machines, console for eyes"
    )
    settings: Path | None = Field(
        None, description="TOML file of these settings and of [models.NAME] tables"
    )
    models: Mapping[str, ModelTable] = Field({}, exclude=True)


_METAVARS = {
    "dataset": "NAME=URI",
    "model": "NAME",
    "weights_dir": "DIR",
    "state_dir": "DIR",
    "settings": "FILE",
    "host": "ADDRESS",
}
_REPEATED = ("model", "dataset")


def load_settings(argv: Sequence[str] | None = None) -> Settings:
    """The settings from flags (default: the process's own), environment and the file that
    `--settings` or STRIATE_SETTINGS names.

    A wrong one ends the process with code 2 and a line for each that names it.
    """
    parser = _parser()
    flags = vars(parser.parse_args(argv))
    names = [name for name in Settings.model_fields if name != "models"]
    environment = {
        n: os.environ[ENVIRONMENT + n.upper()]
        for n in names
        if os.environ.get(ENVIRONMENT + n.upper())
    }
    path = flags.get("settings") or environment.get("settings")
    try:
        written = _read(Path(path)) if path else {}
        given = {**written, **environment, **flags}
        given |= _datasets(
            {f"{path}: dataset": written, "STRIATE_DATASET": environment, "--dataset": flags}
        )
        return Settings.model_validate(given)
    except ValidationError as error:
        parser.exit(
            2,
            "".join(
                f"striate-server: {line}\n"
                for line in _complaints(error, flags, environment, str(path))
            ),
        )
    except (OSError, ValueError) as error:
        parser.exit(2, f"striate-server: {error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "striate-server", description=Settings.__doc__, allow_abbrev=False
    )
    for name, field in Settings.model_fields.items():
        if name == "models":
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = ", ".join(default) if isinstance(default, tuple | dict) else default
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            action="append" if name in _REPEATED else "store",
            default=argparse.SUPPRESS,
            metavar=_METAVARS.get(name, name.rsplit("_", 1)[-1].upper()),
            help=f"{field.description} (default: {shown})"
            if shown is not None
            else field.description,
        )
    return parser


def _datasets(sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The data sets of all sources, of which the last to name one counts. Raises ValueError."""
    gathered: dict[str, Any] = {}
    for where, source in sources.items():
        try:
            gathered |= _pairs(source.get("dataset", {}))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error
    return {"dataset": gathered} if gathered else {}


def _read(path: Path) -> dict[str, Any]:
    """The file's tables; relative paths in it are relative to it. Raises OSError, ValueError."""
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no TOML, or no text
        raise ValueError(f"{path}: {error}") from error
    if "settings" in written:
        raise ValueError(f"{path}: a settings file cannot name another")
    for name in ("weights_dir", "state_dir"):
        _start_at(path.parent, written, name)
    uri = written.get("index_uri")
    if isinstance(uri, str) and "://" not in uri:
        written["index_uri"] = str(path.parent / uri)
    models = written.get("models", {})
    for table in models.values() if isinstance(models, dict) else ():
        if isinstance(table, dict):
            _start_at(path.parent, table, "weights")
            _start_at(path.parent, table, "labels")
    return written


def _start_at(folder: Path, table: dict[str, Any], name: str) -> None:
    if isinstance(table.get(name), str):
        table[name] = folder / table[name]


def _complaints(
    error: ValidationError, flags: Mapping[str, Any], environment: Mapping[str, Any], file: str
) -> Iterator[str]:
    """A line for each wrong setting: where it was set, what it must be, what it is."""
    for detail in error.errors():
        name = str(detail["loc"][0])
        where = ".".join(map(str, detail["loc"]))
        if name in flags:
            where = f"--{where.replace('_', '-')}"
        elif name in environment:
            where = ENVIRONMENT + where.upper()
        else:
            where = f"{file}: {where}"
        yield f"{where}: {detail['msg'].removeprefix('Value error, ')} (is {detail['input']!r})"
