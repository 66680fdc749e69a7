"""From a preprocessor_config.json of Hugging Face's to how images become a network's input."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.imaging import Interpolation, Preprocessing
from service.models.checkpoints import ModelError

_EXTENT = Field(ge=1, le=4096)  # pixels
_CONVNEXT = ("ConvNextImageProcessor", "ConvNextImageProcessorFast", "ConvNextFeatureExtractor")
_WHOLE_FROM = 384  # pixels from which ConvNextImageProcessor crops no more
_FILTERS: dict[int, Interpolation] = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers

Extent = Annotated[int, _EXTENT]
Deviation = Annotated[float, Field(gt=0)]
Three = Field(min_length=3, max_length=3)


class _Size(BaseModel):
    """Pixels: the short side alone, or both sides."""

    shortest_edge: Extent | None = None
    height: Extent | None = None
    width: Extent | None = None


class ImageConfig(BaseModel):
    """What preprocessor_config.json says."""

    model_config = ConfigDict(frozen=True)

    image_processor_type: str = ""
    feature_extractor_type: str = ""  # its name until 2023
    size: Extent | _Size
    crop_size: Extent | _Size | None = None
    do_resize: bool = True
    do_center_crop: bool | None = None
    do_normalize: bool = True
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    crop_pct: float = Field(224 / 256, gt=0, le=1)
    resample: int = 2
    image_mean: Annotated[tuple[float, ...], Three] | None = None
    image_std: Annotated[tuple[Deviation, ...], Three] | None = None


def preprocessing(found: dict[str, Any], name: str) -> tuple[Preprocessing, tuple[str, ...]]:
    """Read how a network takes images.

    Args:
        found: what preprocessor_config.json holds.
        name: of the network, for errors.

    Returns:
        The preprocessing, and what it does in another way than Hugging Face's library.

    Raises:
        ModelError: something is missing, or cannot be done here.
    """
    try:
        config = ImageConfig.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its values"
        raise ModelError(f"preprocessor_config.json of {name}: {where}: {first['msg']}") from error
    resample = _FILTERS.get(config.resample)
    if resample is None:
        raise _refusal(name, f"resample {config.resample} is none of {_of_filters()}")
    if not config.do_rescale or abs(config.rescale_factor * 255 - 1) > 1e-3:
        raise _refusal(name, "pixels must be rescaled by 1/255 (do_rescale, rescale_factor)")
    height, width, resize, edges = _extents(config, name)
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    if config.do_normalize:
        if config.image_mean is None or config.image_std is None:
            raise _refusal(name, "image_mean and image_std are missing")
        mean, std = config.image_mean, config.image_std
    doubts = (_EDGES,) if edges else ()
    return Preprocessing(3, height, width, resize, resample, mean, std), doubts


_EDGES = (
    "its preprocessor_config.json has images that are not square squeezed, or not cropped; here "
    "their short side is resized and the centre cropped"
)


def _extents(config: ImageConfig, name: str) -> tuple[int, int, int, bool]:
    """Height, width, the short side before the crop, and whether the library would show the
    network more than the centre of an image.
    """
    kind = config.image_processor_type or config.feature_extractor_type
    height, width = _sides(config.size, name, "size")
    if not config.do_resize:
        raise _refusal(name, "do_resize must be true: images of any size are taken here")
    if kind in _CONVNEXT:
        edges = height >= _WHOLE_FROM
        return height, width, height if edges else int(height / config.crop_pct), edges
    if config.crop_size is None or config.do_center_crop is False:
        return height, width, max(height, width), True
    cropped = _sides(config.crop_size, name, "crop_size")
    if max(cropped) > min(height, width):
        raise _refusal(name, "crop_size must not be larger than size")
    by_short_side = isinstance(config.size, _Size) and config.size.shortest_edge is not None
    return *cropped, min(height, width), not by_short_side


def _sides(size: int | _Size, name: str, field: str) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if size.shortest_edge is not None:
        return size.shortest_edge, size.shortest_edge
    if size.height is None or size.width is None:
        raise _refusal(name, f"{field} has neither shortest_edge nor height and width")
    return size.height, size.width


def _refusal(name: str, what: str) -> ModelError:
    return ModelError(
        f"preprocessor_config.json of {name}: {what}; mend the file, or host the network as a "
        f"`factory` of the settings file"
    )


def _of_filters() -> str:
    return ", ".join(f"{number} ({name})" for number, name in _FILTERS.items())
