"""A user's own network, as a table of the settings file describes it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Extent = Annotated[int, Field(ge=1, le=4096)]  # pixels


def _square(value: object) -> object:
    """One number as both height and width."""
    return (value, value) if isinstance(value, int | str) else value


class ModelTable(BaseModel):
    """A user's own network: a `[models.NAME]` table of the settings file.

    What is left out beside an architecture or a source is taken from its own settings. Relative
    paths start at the settings file's folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    factory: str | None = Field(
        None,
        pattern=r"^[\w.]+:\w+$",
        description='"module:function", called without arguments for the module; found on the '
        "server's own Python path",
    )
    architecture: str | None = Field(
        None,
        description='instead of a factory, an architecture that the server knows, e.g. "resnet18"',
    )
    source: str | None = Field(
        None,
        pattern=r"^[a-z]+:.+$",
        description='instead of both, where a network comes from: "hf:ORGANIZATION/REPOSITORY" '
        'of Hugging Face\'s hub, or a folder of its library\'s, "hf:/FOLDER", "hf:./FOLDER"; '
        '"timm:NAME" of timm\'s registry; or a bundle, "bundle:/FILE", "bundle:./FILE"; '
        'or an ONNX file, "onnx:/FILE", "onnx:./FILE"',
    )
    weights: Path | None = Field(
        None,
        description="a .safetensors or .pth file; without one, the factory's module has its own, "
        "or the architecture its published ones, or the source those that it keeps",
    )
    mean: tuple[float, ...] | None = Field(
        None, description="mean of each channel, in pixel units of [0, 1]"
    )
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None, description="standard deviation of each channel, in pixel units of [0, 1]"
    )
    size: Annotated[tuple[Extent, Extent], BeforeValidator(_square)] | None = Field(
        None, description="input pixels, one number or [height, width]"
    )
    channels: Literal[1, 3] | None = Field(None, description="channels of the input, 1 or 3")
    resize: int | None = Field(
        None,
        ge=1,
        le=8192,
        description="pixels of the short side before the centre crop; default: the larger of "
        "height and width",
    )
    interpolation: Literal["nearest", "bilinear", "bicubic"] | None = Field(
        None, description="interpolation of the resize: nearest, bilinear or bicubic"
    )
    license: str = Field(
        "", max_length=1000, description="licence of the weights, for those who use the model"
    )
    origin: str = Field(
        "",
        max_length=1000,
        description="who published the weights, in words or as an address",
    )
    labels: tuple[str, ...] | Path | None = Field(
        None,
        description="class names, or a text file with one a line; two for a network of one output, "
        "a logit z or its sigmoid: the names of a negative and of a positive z",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelTable":
        """Check that one origin is given, and a factory's image format with it."""
        if [self.factory, self.architecture, self.source].count(None) != 2:
            raise ValueError("must have either factory or architecture, or else source")
        if self.factory is not None and (
            self.size is None or self.mean is None or self.std is None
        ):
            raise ValueError("a factory needs size, mean and std beside it")
        return self

    @model_validator(mode="after")
    def _values_for_each_channel(self) -> "ModelTable":
        """Check that mean and std have a value for each channel, as far as these are known."""
        channels = self.channels or (len(self.mean) if self.mean and self.factory else None)
        if channels not in (None, 1, 3):
            raise ValueError("mean must have one value for each channel, 1 or 3")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and channels is not None and len(values) != channels:
                raise ValueError(f"{name} must have one value for each of the {channels} channels")
        return self
