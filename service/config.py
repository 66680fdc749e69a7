"""The settings of a server: flags, then the environment (STRIATE_*), then a TOML file, in one frozen object."""

import argparse
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, CliSuppress, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

EMBEDDED = ("cifar10-plain", "cifar10-robust", "digits-lenet5")


def _state() -> Path:
    """The user's folder for state, by the XDG convention."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "striate"


def _listed(value: object) -> object:
    """A text with commas (from the environment) as its parts."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _square(value: object) -> object:
    """One number as both height and width."""
    return (value, value) if isinstance(value, int) else value


_Extent = Annotated[int, Field(ge=1, le=4096)]


class ModelTable(BaseModel):
    """A user's own network: a `[models.NAME]` table of the settings file.

    What is left out beside an architecture is taken from its own settings. Relative paths start at the settings file's folder.

    Attributes:
        factory: "module:function", called without arguments for the module; found on the server's own Python path.
        architecture: instead of a factory, a name that the zoo knows, e.g. "resnet18".
        weights: a .safetensors or .pth file; none: the factory's module has its own, or the architecture's published ones.
        size: input pixels, one number or [height, width].
        channels: of the input, 1 or 3.
        resize: pixels of the short side before the centre crop; default: the larger of height and width.
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
        if self.factory is not None and (self.size is None or self.mean is None or self.std is None):
            raise ValueError("a factory needs size, mean and std beside it")
        channels = self.channels or (len(self.mean) if self.mean and self.factory else None)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and channels is not None and len(values) != channels:
                raise ValueError(f"{name} must have one value for each of the {channels} channels")
        return self


class Settings(BaseSettings):
    """Hosts pretrained CNNs over gRPC: what each unit sees, and what fools the whole.

    Every flag can also be set as environment variable STRIATE_NAME or in the TOML file; flags win, then the environment.
    """

    model_config = SettingsConfigDict(
        env_prefix="STRIATE_",
        frozen=True,
        extra="forbid",
        cli_prog_name="striate-server",
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(50051, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    model: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        EMBEDDED, description="model to load at start; may be repeated"
    )
    weights_dir: Path | None = Field(None, description="folder of NAME.safetensors or NAME.pth, read before anything is downloaded")
    dataset: dict[str, str] = Field(
        default_factory=lambda: {"digits": "digits", "photo-patches": "photo-patches"}, description="data set as NAME=URI; may be repeated"
    )
    state_dir: Path = Field(default_factory=_state, description="folder of indexes, operations and downloads")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    threads: int = Field(0, ge=0, description="CPU threads of the engine; 0 leaves it to torch")
    queue_size: int = Field(256, ge=1, description="jobs that may wait; more are refused")
    tick_rows: int = Field(0, ge=0, description="most images of one pass; 0 chooses by device")
    memory_bytes: int = Field(0, ge=0, description="memory for jobs and passes; 0 chooses by device")
    deterministic_chunk: int = Field(8, ge=1, le=256, description="images of a deterministic pass")
    drain_seconds: float = Field(20.0, ge=0, description="time that calls have to finish after SIGTERM")
    metrics_port: int = Field(0, ge=0, le=65535, description="port of Prometheus' metrics; 0 serves none")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe line that is logged")
    log_format: Literal["json", "console"] = Field("json", description="json for machines, console for eyes")
    settings: Path | None = Field(None, description="TOML file of these settings and of [models.NAME] tables")
    models: CliSuppress[dict[str, ModelTable]] = Field(default_factory=dict, description="your own networks")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the file, whose values come as arguments; flags are put before both."""
        return env_settings, init_settings


def load_settings(argv: Sequence[str] | None = None) -> Settings:
    """The settings from flags (default: the process's own), environment and the file that `--settings` or STRIATE_SETTINGS names.

    A wrong one ends the process with code 2 and a line that names the field.
    """
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--settings", type=Path, default=os.environ.get("STRIATE_SETTINGS"))
    flags = sys.argv[1:] if argv is None else list(argv)
    known, _ = first.parse_known_args(flags)
    try:
        written = _read(Path(known.settings)) if known.settings else {}
        return Settings(_cli_parse_args=flags, **written)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']} (is {e['input']!r})" for e in error.errors()]
        _refuse("; ".join(lines))
    except (SettingsError, OSError, tomllib.TOMLDecodeError) as error:
        _refuse(str(error))


def _read(path: Path) -> dict[str, Any]:
    """The file's tables; relative paths in it are relative to it."""
    written = tomllib.loads(path.read_text())
    for name in ("weights_dir", "state_dir"):
        if name in written:
            written[name] = path.parent / written[name]
    for table in written.get("models", {}).values():
        if "weights" in table:
            table["weights"] = path.parent / table["weights"]
        if isinstance(table.get("labels"), str):
            table["labels"] = path.parent / table["labels"]
    return written


def _refuse(message: str) -> NoReturn:
    print(f"striate-server: {message}", file=sys.stderr)
    raise SystemExit(2)
