"""Class names: the lists that a URI may name, and which class of a model a data set's label is."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from service.datasets.base import DatasetError

DIGITS = tuple("0123456789")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_MOST_CLASSES_TEXT = 64 * 2**20  # characters of a file of class names
_JSON = {"[", "]", "{", "}"}  # one of which JSON lists and tables begin and end with


def named_classes(text: str) -> tuple[str, ...]:
    """Find the class names that `?classes=` stands for.

    Args:
        text: "cifar10", "digits", "imagenet" (in the order of torchvision's weights), or the path
            of a text file with one name a line.

    Returns:
        The names by label.

    Raises:
        DatasetError: it is none of these, or the file is empty.
    """
    if text == "cifar10":
        return CIFAR10
    if text == "digits":
        return DIGITS
    if text == "imagenet":
        from torchvision.models import ResNet50_Weights  # torchvision takes a second to import

        return tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
    try:
        return read_names(Path(text).expanduser())
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"classes={text!r} is neither cifar10, digits nor imagenet, nor a readable "
            f"text file: {error}"
        ) from error


def read_names(path: Path) -> tuple[str, ...]:
    """Read a text file of class names.

    Args:
        path: of the file, one name a line in UTF-8; a byte order mark, blank lines and space around
            names are passed over.

    Returns:
        The names in order, at least one.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds something else; the message says what.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_MOST_CLASSES_TEXT + 1)
    except UnicodeDecodeError as error:
        raise ValueError("it is no text in UTF-8; save it as UTF-8, one name a line") from error
    if len(text) > _MOST_CLASSES_TEXT:
        raise ValueError(f"it has more than {_MOST_CLASSES_TEXT} characters")
    if text.lstrip()[:1] in _JSON and text.rstrip()[-1:] in _JSON:
        raise ValueError("it looks like JSON; one name a line is meant")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise ValueError("it is empty; one name a line is meant")
    return names


def class_indices(
    dataset_classes: Sequence[str], model_classes: Sequence[str], label_count: int
) -> list[int]:
    """Match the labels of a data set with the classes of a model.

    Names are compared without case, spaces, hyphens and underscores. A name that the model has
    several times is matched in order where the data set has it as often, and is otherwise -1: it
    could be any of them. Where a side lists synonyms after commas, as ImageNet's names do, and
    whole names leave a label over, the first synonyms are compared if they leave over fewer.
    Without names, label i is class i if there are no more labels than classes, for the last classes
    may not occur; of more labels none is known.

    Args:
        dataset_classes: names by label; empty where unknown.
        model_classes: names by class.
        label_count: number of the data set's labels.

    Returns:
        For each label the index of the model's class, or -1.
    """
    if not dataset_classes:
        fits = label_count <= len(model_classes)
        return [index if fits else -1 for index in range(label_count)]
    found = _matched(dataset_classes, model_classes)
    if -1 in found:
        shorter = _matched(*(_first_synonyms(names) for names in (dataset_classes, model_classes)))
        found = min(found, shorter, key=lambda indices: indices.count(-1))
    return found


def _first_synonyms(names: Sequence[str]) -> list[str]:
    return [name.partition(",")[0] for name in names]


def _matched(dataset_classes: Sequence[str], model_classes: Sequence[str]) -> list[int]:
    of_model, of_dataset = _places(model_classes), _places(dataset_classes)
    indices = [-1] * len(dataset_classes)
    for name, labels in of_dataset.items():
        classes = of_model.get(name, [])
        if len(classes) == 1:
            classes = classes * len(labels)
        if len(classes) == len(labels):
            for label, index in zip(labels, classes, strict=True):
                indices[label] = index
    return indices


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        places["".join(c for c in name.casefold() if c not in " -_")].append(index)
    return places
