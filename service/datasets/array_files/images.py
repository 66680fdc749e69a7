"""Arrays of images and labels, whatever file they stand in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.datasets.base import DatasetError, Source, UnreadableItem
from service.datasets.fingerprint import Fingerprint
from service.datasets.labels import Labels, read_labels
from service.imaging import MAX_PIXELS, encode_png

CHANNELS = (1, 3, 4)  # gray, RGB, RGB and alpha
IMAGES = ("images", "image", "x", "data", "imgs", "inputs", "arr_0")
LABELS = ("labels", "label", "y", "targets", "target", "fine_labels", "classes", "arr_1")
LAYOUTS = ("nhwc", "nchw")
_LOOKED_AT = 64  # images whose range is looked at when an array is opened


@dataclass(frozen=True)
class ArrayNames:
    """What a caller says of the arrays in a file; empty: found.

    Attributes:
        image, label: keys of the arrays.
        split: of several pairs of arrays, as in "x_test" and "y_test".
        layout: one of LAYOUTS.
    """

    image: str = ""
    label: str = ""
    split: str = ""
    layout: str = ""


def choose(keys: list[str], named: ArrayNames, where: str) -> tuple[str, str | None]:
    """Find the arrays of images and of labels in a file with several.

    Args:
        keys: of all arrays.
        named: by the caller.
        where: the file, for messages.

    Returns:
        The keys of images and labels; None where there are no labels.

    Raises:
        DatasetError: which one it is, is not clear; the message names them all.
    """
    shown = f"it has {', '.join(map(repr, keys[:20])) or 'none'}"
    for key in (named.image, named.label):
        if key and key not in keys:
            raise DatasetError(f"{where} has no array {key!r}; {shown}")
    image = named.image or _found(keys, IMAGES, named.split)
    if image is None:
        splits = [split for split in ("train", "val", "test") if _found(keys, IMAGES, split)]
        way = f"?split={splits[-1]}" if splits and not named.split else "?image=KEY&label=KEY"
        raise DatasetError(f"which array of {where} holds the images? {shown}; choose by {way}")
    return image, named.label or _found(keys, LABELS, named.split)


def _found(keys: list[str], names: tuple[str, ...], split: str) -> str | None:
    """The first key of such a name, of a split if one is asked for."""
    lower = {key.lower(): key for key in reversed(keys)}
    forms = ("{1}_{0}", "{0}_{1}", "{1}{0}", "{0}{1}") if split else ("{0}",)
    known = (form.format(name, split.lower()) for name in names for form in forms)
    return next((lower[name] for name in known if name in lower), None)


def array_source(
    images: NDArray[Any],
    labels: NDArray[Any] | None,
    classes: tuple[str, ...],
    layout: str,
    where: str,
    fingerprint: Fingerprint,
    unlabelled: str = "",
    check: Callable[[], None] = lambda: None,
) -> Source:
    """Open an array of images.

    Args:
        images: (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1, 3 or 4: uint8; 16 bits, which stay
            16 bits where C is 1, and else keep their high byte; floats in [0, 1], which are rounded
            to 8 bits; other integers from 0 to 255; booleans.
        labels: (N,) or (N, 1) integers or names; None where there are none.
        classes: names by label.
        layout: one of LAYOUTS where the shape leaves it open; empty otherwise.
        where: the file, for messages.
        fingerprint: of the file.
        unlabelled: what could be done where there are no labels.
        check: raises DatasetError where the arrays can no longer be read, see `whole_file`.

    Returns:
        The images, which are encoded one by one, as PNG.

    Raises:
        DatasetError: shape, type or range is of no image, or the labels do not fit.
    """
    order = _order(images.shape, layout, where)
    if images.dtype.kind not in "biuf":
        raise DatasetError(f"the images of {where} are of type {images.dtype}, not numbers")
    count = len(images)
    if not count:
        raise DatasetError(f"{where} holds no image: its array has the shape {images.shape}")
    for index in sorted({i * (count - 1) // max(1, _LOOKED_AT - 1) for i in range(_LOOKED_AT)}):
        if index < count:
            _levels(np.asarray(images[index]), where)
    known = _labels(labels, count, classes, where)

    def item(index: int) -> tuple[str, bytes, int | None]:
        name = f"row-{index}"
        try:
            check()
            levels = _levels(np.asarray(images[index]).transpose(order), where)
        except (DatasetError, OSError) as error:
            raise UnreadableItem(name, str(error)) from error
        return name, _png(levels), known.of(index) if labels is not None else None

    return Source(count, item, known.classes, known.count, fingerprint, unlabelled)


def whole_file(file: Path) -> Callable[[], None]:
    """Make the check that a file which is mapped into memory is still as long as it is now: where
    pages of it are gone, reading ends the process.

    Args:
        file: its path.

    Returns:
        The check, which raises DatasetError.
    """
    size = file.stat().st_size

    def check() -> None:
        now = file.stat().st_size
        if now < size:
            raise DatasetError(f"{str(file)!r} is shorter than when it was opened, {now} bytes")

    return check


def _order(shape: tuple[int, ...], layout: str, where: str) -> tuple[int, ...]:
    """The axes of one image in the order (H, W) or (H, W, C)."""
    if layout and layout not in LAYOUTS:
        raise DatasetError(f"layout must be {' or '.join(LAYOUTS)}, not {layout!r}")
    if len(shape) == 3 and 0 not in shape[1:] and shape[1] * shape[2] <= MAX_PIXELS:
        return (0, 1)
    first, last = (len(shape) == 4 and shape[axis] in CHANNELS for axis in (1, 3))
    if first and last and not layout:
        raise DatasetError(
            f"the images of {where} have the shape {shape}, in which the channels may be first or "
            f"last: say which by ?layout=nchw or ?layout=nhwc"
        )
    fits = {"nchw": first, "nhwc": last, "": first or last}[layout]
    pixels = shape[2] * (shape[3] if first and layout != "nhwc" else shape[1]) if fits else 0
    if not fits or not 0 < pixels <= MAX_PIXELS:
        raise DatasetError(
            f"the images of {where} have the shape {shape}: it must be (N, H, W), (N, H, W, C) or "
            f"(N, C, H, W) with C 1, 3 or 4; flat rows become images by reshape"
        )
    return (0, 1, 2) if last and layout != "nchw" else (1, 2, 0)


def _levels(image: NDArray[Any], where: str) -> NDArray[Any]:
    """An image as uint8 or uint16; raises DatasetError if its values are out of range."""
    if image.dtype in (np.uint8, np.uint16):
        return image
    low, high = float(image.min()), float(image.max())
    most = 1 if image.dtype.kind in "bf" else 255
    if not (low >= 0 and high <= most):  # also true of NaN
        way = (
            "; divide by 255, or store them as uint8"
            if most == 1 and 0 <= low < high <= 255
            else ""
        )
        raise DatasetError(
            f"the images of {where} are {image.dtype} with values from {low:g} to {high:g}: they "
            f"must be from 0 to {most}{way}"
        )
    return np.rint(image.astype(np.float64) * (255 if most == 1 else 1)).astype(np.uint8)


def _png(levels: NDArray[Any]) -> bytes:
    if levels.ndim == 3 and levels.shape[2] == 1:
        levels = levels[:, :, 0]
    if levels.dtype == np.uint16 and levels.ndim == 3:
        levels = levels >> 8
    kept = levels if levels.ndim == 2 else levels.astype(np.uint8)
    return encode_png(Image.fromarray(np.ascontiguousarray(kept)))


def _labels(
    labels: NDArray[Any] | None, count: int, classes: tuple[str, ...], where: str
) -> Labels:
    if labels is None:
        return read_labels(np.zeros(0, np.int64), (), where)
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.shape != (count,):
        raise DatasetError(
            f"the labels of {where} have the shape {labels.shape} for {count} images: it must be "
            f"({count},); one-hot rows become labels by argmax(1)"
        )
    if flat.dtype.kind in "iu":
        return read_labels(np.minimum(flat, 2**31).astype(np.int64), classes, where)
    if flat.dtype.kind not in "bfUS":
        raise DatasetError(
            f"the labels of {where} are of type {labels.dtype}, not integers or names"
        )
    values = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in flat.tolist()]
    return read_labels(values, classes, where)


def unlabelled_way(keys: Mapping[str, object] | list[str], where: str) -> str:
    """What could be done about a file of arrays without one of labels."""
    return f"{where} has no array of labels among {', '.join(keys)}: name it by ?label=KEY"
