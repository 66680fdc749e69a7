"""What Hugging Face's metadata says of columns: in the schema of a parquet file, and in the card
(README.md) of a data set's folder.
"""

import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from service.datasets.base import DatasetError
from service.datasets.tables.front_matter import MOST_BYTES, UnreadableFrontMatter, front_matter

CARD = "README.md"
_ABOVE = 3  # folders above the files in which a card is looked for


@dataclass(frozen=True)
class Features:
    """Columns by their dotted names.

    Attributes:
        images: of type Image.
        classes: of type ClassLabel: their class names by label; empty where none are given.
    """

    images: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def features_of_schema(schema: pa.Schema) -> Features:
    """Read the features that the library `datasets` writes into a schema's metadata.

    Args:
        schema: of a parquet file.

    Returns:
        The features; none where the metadata is not there, or not as that library writes it.
    """
    try:
        stored = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        columns = stored["info"]["features"]
        found = dict(_stored(columns, "")) if isinstance(columns, dict) else {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Features()
    return _features(found)


def _stored(value: Mapping[str, object], prefix: str) -> Iterator[tuple[str, Sequence[str] | None]]:
    """(dotted name, class names; None for an image) of the columns of a JSON mapping."""
    for name, kind in value.items():
        if not isinstance(kind, dict):
            continue
        if kind.get("_type") == "Image":
            yield prefix + name, None
        elif kind.get("_type") == "ClassLabel":
            yield prefix + name, [str(each) for each in kind.get("names") or ()]
        elif not isinstance(kind.get("_type"), str):  # a struct
            yield from _stored(kind, f"{prefix}{name}.")


def _features(found: Mapping[str, Sequence[str] | None]) -> Features:
    return Features(
        tuple(name for name, names in found.items() if names is None),
        {name: tuple(names) for name, names in found.items() if names is not None},
    )


@dataclass(frozen=True)
class Card:
    """The front matter of a data set's README.

    Attributes:
        path: of the file.
        features: of each configuration, by its name.
        files: of each configuration, (split, globs relative to the card) of its files, where the
            card says them.
        default: the configuration that is meant where none is named; empty if there is none.
    """

    path: Path
    features: Mapping[str, Features]
    files: Mapping[str, Sequence[tuple[str, tuple[str, ...]]]]
    default: str

    @property
    def folder(self) -> Path:
        """The folder of the data set."""
        return self.path.parent

    def place(self, path: Path) -> tuple[str, str]:
        """Find (configuration, split) of a file by the globs of the card; empty where unknown."""
        name = path.relative_to(self.folder).as_posix()
        for config, parts in self.files.items():
            for split, globs in parts:
                if any(fnmatch.fnmatchcase(name, each.removeprefix("./")) for each in globs):
                    return config, split
        folders = path.relative_to(self.folder).parts[:-1]
        return next((config for config in self.features if config in folders), ""), ""

    def features_of(self, config: str) -> Features:
        """The features of a configuration, or of the only one, or of all if they say the same."""
        if config in self.features or len(self.features) == 1:
            return self.features.get(config) or next(iter(self.features.values()))
        different = list(self.features.values())
        return (
            different[0] if different and all(e == different[0] for e in different) else Features()
        )


def find_card(folder: Path) -> Card | None:
    """Find the card of a data set with files in a folder: there, or a few folders above.

    Args:
        folder: of the files.

    Returns:
        The first README.md with a section `dataset_info` or `configs`; None if there is none.

    Raises:
        DatasetError: such a section cannot be read.
    """
    for place in (folder, *list(folder.absolute().parents)[:_ABOVE]):
        card = _read_card(place / CARD)
        if card is not None:
            return card
    return None


def _read_card(path: Path) -> Card | None:
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    try:
        found = front_matter(text, ("dataset_info", "configs"))
    except UnreadableFrontMatter as error:
        raise DatasetError(
            f"the front matter of {str(path)!r} cannot be read, {error}: mend it, or move it away "
            "and name the classes by ?classes=FILE"
        ) from error
    if not found:
        return None
    infos, configs = _mappings(found.get("dataset_info")), _mappings(found.get("configs"))
    files = {_name(config): list(_files(config.get("data_files"))) for config in configs}
    features = {_name(info): _features(dict(_carded(info.get("features"), ""))) for info in infos}
    chosen = [_name(config) for config in configs if config.get("default") == "true"]
    names = list({**files, **features})
    only = names[0] if len(names) == 1 else ""
    default = chosen[0] if chosen else "default" if "default" in names else only
    return Card(path, features, files, default)


def _mappings(value: object) -> list[Mapping[str, object]]:
    """A mapping, or a list of them, as a list."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, dict)]


def _name(config: Mapping[str, object]) -> str:
    return str(config.get("config_name") or "default")


def _files(value: object) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(split, globs) of a card's data_files."""
    if isinstance(value, str):
        yield "train", (value,)
    for part in _mappings(value):
        globs = part.get("path")
        texts = globs if isinstance(globs, list) else [globs]
        yield (
            str(part.get("split") or "train"),
            tuple(each for each in texts if isinstance(each, str)),
        )


def _carded(value: object, prefix: str) -> Iterator[tuple[str, Sequence[str] | None]]:
    """As `_stored`, of the list of features of a card."""
    for each in _mappings(value):
        name, kind = f"{prefix}{each.get('name')}", each.get("dtype")
        if kind == "image":
            yield name, None
        elif isinstance(kind, dict) and isinstance(kind.get("class_label"), dict):
            yield name, _class_names(kind["class_label"].get("names"))
        elif "struct" in each:
            yield from _carded(each["struct"], f"{name}.")


def _class_names(names: object) -> list[str]:
    """Names by label, of a list or of a mapping from labels to names; none if labels are left
    out.
    """
    if isinstance(names, list):
        return [str(name) for name in names]
    if not isinstance(names, dict):
        return []
    found = {int(label): str(name) for label, name in names.items() if str(label).isdecimal()}
    return (
        [found[label] for label in sorted(found)]
        if sorted(found) == list(range(len(names)))
        else []
    )
