"""Tensors that torch.save has written, loaded as weights alone are: no object is unpickled."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from service.datasets.array_files.images import (
    ArrayNames,
    array_source,
    choose,
    unlabelled_way,
    whole_file,
)
from service.datasets.base import DatasetError, Source
from service.datasets.fingerprint import Fingerprint


def tensors_source(
    path: str, classes: tuple[str, ...] = (), named: ArrayNames | None = None
) -> Source:
    """Open the tensors of images and labels in a file of torch.save.

    It holds a tensor of images, a pair (images, labels), or a mapping whose keys name them; names
    of classes may stand under "classes" as a list of texts.

    Args:
        path: of the file; it is mapped into memory where torch can do that.
        classes: names by label.
        named: which tensors, and how they are laid out.

    Returns:
        The images.

    Raises:
        DatasetError: it is no such file, holds other objects, or its tensors do not fit.
        OSError: there is no such file.
    """
    file, named, where = Path(path).expanduser(), named or ArrayNames(), repr(path)
    held = _load(file, path)
    if isinstance(held, list | tuple):
        held = dict(zip(("images", "labels"), held, strict=False)) if len(held) in (1, 2) else held
    elif isinstance(held, torch.Tensor):
        held = {"images": held}
    if not isinstance(held, Mapping):
        raise DatasetError(
            f"{where} holds {_kind(held)}, not a tensor, a pair (images, labels) or a mapping of "
            "tensors"
        )
    tensors = {str(key): value for key, value in held.items() if isinstance(value, torch.Tensor)}
    image, label = choose(list(tensors), named, where)
    stored = held.get("classes")
    if isinstance(stored, list | tuple) and all(isinstance(name, str) for name in stored):
        classes = classes or tuple(stored)
    names = held.get(label or "labels")
    labels: NDArray[Any] | None = None
    if label is not None:
        labels = _array(tensors[label])
    elif isinstance(names, list | tuple) and all(isinstance(name, str | int) for name in names):
        labels = np.array(names)
    return array_source(
        _array(tensors[image]),
        labels,
        classes,
        named.layout,
        where,
        Fingerprint(lambda: [(path, file)]),
        "" if labels is not None else unlabelled_way(list(tensors), where),
        whole_file(file),
    )


def _load(file: Path, path: str) -> Any:
    try:
        return torch.load(
            file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)
        )
    except OSError:
        raise
    except Exception as error:  # what damaged files and refused objects make torch raise
        raise DatasetError(
            f"{path!r} holds other objects than tensors, which are never unpickled, or is damaged: "
            f"write torch.save((images, labels), FILE) with two tensors"
        ) from error


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise DatasetError(f"a tensor of layout {tensor.layout} holds no images")
    size, held = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    if size > held:  # as by `expand`: a byte may stand for a billion
        raise DatasetError(
            f"a tensor of shape {tuple(tensor.shape)} promises {size} bytes and has {held}"
        )
    dense = tensor.detach()
    return np.asarray((dense.float() if dense.dtype == torch.bfloat16 else dense).numpy())


def _kind(held: object) -> str:
    return f"{len(held)} values" if isinstance(held, list | tuple) else type(held).__name__
