"""torchvision's classification data sets, downloaded by torchvision's own code: those that it reads
without unpickling.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.datasets.base import DatasetError, Source
from service.datasets.classes import DIGITS
from service.imaging import encode_png

# Name -> class names, for those whose class has none or decorates them.
_SETS: dict[str, tuple[str, ...]] = {
    "MNIST": DIGITS,
    "QMNIST": DIGITS,
    "SVHN": DIGITS,
    "USPS": DIGITS,
    "GTSRB": tuple(str(number) for number in range(43)),
    **dict.fromkeys(
        (
            "FashionMNIST",
            "KMNIST",
            "EMNIST",
            "STL10",
            "Flowers102",
            "Food101",
            "DTD",
            "FGVCAircraft",
        ),
        (),
    ),
    **dict.fromkeys(
        ("OxfordIIITPet", "Imagenette", "EuroSAT", "Country211", "RenderedSST2", "StanfordCars"), ()
    ),
}
_UNPICKLED = ("CIFAR10", "CIFAR100", "LSUN")
# Sets that would open image files with whatever plugin fits: their files and labels.
_FILES: dict[str, Callable[[Any, int], tuple[Path, int]]] = {
    "GTSRB": lambda of, index: (Path(of._samples[index][0]), of._samples[index][1]),
    "OxfordIIITPet": lambda of, index: (Path(of._images[index]), of._labels[index]),
}
_NOT_OPTIONS = {
    "root",
    "download",
    "loader",
    "transform",
    "transforms",
    "target_transform",
    "target_types",
    "kwargs",
}


def torchvision_source(
    name: str, options: dict[str, str], root: Path, classes: tuple[str, ...] = ()
) -> Source:
    """Open a data set of torchvision's. It is downloaded if it is not there, with torchvision's
    progress bar and check sums, unless the option `download` is false.

    Args:
        name: of its class.
        options: arguments of that class, as in a URI's query.
        root: folder that it is kept in.
        classes: names by label; empty: the data set's own.

    Returns:
        Its samples.

    Raises:
        DatasetError: torchvision would unpickle it, an option is unknown, or torchvision refuses.
    """
    if name in _UNPICKLED:
        raise DatasetError(
            f"torchvision reads {name} by unpickling, which is never done here: use "
            f"parquet:GLOB or imagefolder:DIR"
        )
    if name not in _SETS:
        raise DatasetError(
            f"torchvision's {name!r} is not read; these are: {', '.join(sorted(_SETS))}"
        )
    import torchvision.datasets  # takes a second to import

    make = getattr(torchvision.datasets, name)
    try:
        dataset = make(root, **_arguments(name, make, dict(options)))
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise DatasetError(f"torchvision's {name} in {str(root)!r}: {error}") from error
    names = (
        classes
        or _SETS[name]
        or tuple(
            entry if isinstance(entry, str) else entry[0]
            for entry in getattr(dataset, "classes", ())
        )
    )

    def item(index: int) -> tuple[str, bytes, int | None]:
        image, label = _FILES[name](dataset, index) if name in _FILES else dataset[index]
        known = int(label) if label is not None and int(label) >= 0 else None
        if isinstance(image, Path):
            return _relative(image, root), image.read_bytes(), known
        return f"{name}-{index}", encode_png(image), known

    return Source(len(dataset), item, names, len(names))


def _arguments(name: str, make: Any, options: dict[str, str]) -> dict[str, object]:
    """Keyword arguments of the data set's class from the options of a URI."""
    known = {
        parameter
        for place in (make, *make.__mro__)  # a subclass may pass the rest on
        for parameter in inspect.signature(place.__init__).parameters
    } - {"self", "args"}
    arguments: dict[str, object] = {}
    if "download" in known:
        arguments["download"] = _value(options.pop("download", "true"))
    if "loader" in known:
        arguments["loader"] = (
            Path  # the item is then the path of the image, whose bytes leave as they are
        )
    for option, text in options.items():
        if option not in known - _NOT_OPTIONS:
            raise DatasetError(
                f"torchvision's {name} has no option {option!r}; it has: "
                f"{', '.join(sorted(known - _NOT_OPTIONS))}"
            )
        arguments[option] = _value(text)
    return arguments


def _value(text: str) -> str | int | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if text.isdigit() else text


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
