"""What a bundle says of its network: the text of its `bundle.toml`."""

import json
import tomllib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.imaging import Interpolation, Preprocessing
from service.models.checkpoints import ModelError
from service.models.recipe import Argument, Recipe

FORMAT: Literal[1] = 1

Extent = Annotated[int, Field(ge=1, le=4096)]  # pixels
Mean = Annotated[float, Field(ge=0, le=1)]
Std = Annotated[float, Field(gt=0, le=1)]
Line = Annotated[str, Field(max_length=1000)]


class BundleDescription(BaseModel):
    """The contents of a `bundle.toml`.

    Attributes:
        format: version of the file's form; a server reads its own and older ones.
        architecture, arguments: see `service.models.recipe.Recipe`.
        channels, height, width: of the network's input, in pixels.
        resize: short side in pixels before the centre crop.
        interpolation: of the resize.
        mean, std: per channel, in pixel units of [0, 1].
        labels: class names in the order of the logits; none if they are not known.
        digest: SHA-256 of architecture, preprocessing and weights, as ModelInfo gives it.
        license: under which the weights were published; empty: not stated.
        source: who published the weights, in words or as an address; empty: not stated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1]
    architecture: str = Field(min_length=1, max_length=200)
    channels: int = Field(ge=1, le=3)
    height: Extent
    width: Extent
    resize: int = Field(ge=1, le=8192)
    interpolation: Interpolation
    mean: tuple[Mean, ...]
    std: tuple[Std, ...]
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    license: Line = ""
    source: Line = ""
    labels: Annotated[tuple[Line, ...], Field(max_length=1_000_000)] = ()
    arguments: dict[str, Argument] = {}

    @model_validator(mode="after")
    def _values_for_each_channel(self) -> "BundleDescription":
        if self.channels == 2:
            raise ValueError("channels must be 1 or 3")
        if {len(self.mean), len(self.std)} != {self.channels}:
            raise ValueError(f"mean and std must have {self.channels} values, one a channel")
        return self

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become the network's input."""
        return Preprocessing(
            self.channels,
            self.height,
            self.width,
            self.resize,
            self.interpolation,
            self.mean,
            self.std,
        )

    def recipe(self, graph: bytes) -> Recipe:
        """Tell how the network is built.

        Args:
            graph: of the bundle, or none.

        Returns:
            The recipe.
        """
        return Recipe(self.architecture, self.arguments, graph)


def read_toml(text: bytes, file: str) -> BundleDescription:
    """Read a `bundle.toml`.

    Args:
        text: its bytes.
        file: the bundle's name, for errors.

    Returns:
        What it says.

    Raises:
        ModelError: it is no TOML, of a newer form, or wrong.
    """
    try:
        found: dict[str, Any] = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"bundle.toml of {file} cannot be read: {error}") from error
    version = found.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise ModelError(
            f"{file} is a bundle of format {version}, and this server reads {FORMAT}: it was made "
            f"by a newer version of Striate"
        )
    try:
        return BundleDescription.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its values"
        reason = first["msg"].removeprefix("Value error, ")
        raise ModelError(f"bundle.toml of {file}: {where}: {reason}") from error


def as_toml(description: BundleDescription) -> bytes:
    """Write a `bundle.toml`.

    Args:
        description: what it shall say.

    Returns:
        Its bytes: a line a value, the arguments in a table at the end.
    """
    values = description.model_dump()
    arguments: dict[str, Argument] = values.pop("arguments")
    lines = [_line(key, value) for key, value in values.items()]
    if arguments:
        lines += ["", "[arguments]", *(_line(k, arguments[k]) for k in sorted(arguments))]
    return ("\n".join(lines) + "\n").encode()


def _line(key: str, value: object) -> str:
    # What JSON writes of texts, numbers and lists of them is TOML, but for one control character.
    return f"{key} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")
