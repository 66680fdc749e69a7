"""Which columns of a parquet file hold images, labels and names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from service.datasets.base import DatasetError
from service.datasets.tables.hugging_face import Features

IMAGES = ("image", "img", "images", "picture", "photo", "jpg", "png")  # the first that is there
LABELS = ("label", "labels", "fine_label", "class", "target", "category", "y", "cls")


@dataclass(frozen=True)
class ColumnNames:
    """Columns that a caller names; empty: found."""

    image: str = ""
    label: str = ""
    name: str = ""


@dataclass(frozen=True)
class Columns:
    """Dotted names of the columns that are read.

    Attributes:
        image: of bytes.
        path: of the images' files, where images may be files beside the table; None: there is none.
        label, name: None where there is none.
    """

    image: str
    path: str | None
    label: str | None
    name: str | None

    @property
    def read(self) -> tuple[str, ...]:
        """All but the labels', which are read at once."""
        return tuple(column for column in (self.image, self.path, self.name) if column)


def find_columns(schema: pa.Schema, features: Features, named: ColumnNames, path: str) -> Columns:
    """Find the columns of a file.

    Args:
        schema: of the file.
        features: what Hugging Face's metadata says of them.
        named: by the caller.
        path: of the file, for messages.

    Returns:
        The columns.

    Raises:
        DatasetError: there is none of images, a column has another type, or a named one is not
            there; the message names the columns and the option.
    """
    types = dict(_fields(schema, ""))
    image = _image(types, features, named.image, path)
    stored = image if not pa.types.is_struct(types[image]) else f"{image}.bytes"
    beside = f"{image}.path" if stored != image else ""
    return Columns(
        stored,
        beside if _is_text(types.get(beside)) else None,
        _label(types, features, named.label, path),
        _name(types, named.name, path),
    )


def shown(schema: pa.Schema) -> str:
    """The columns of a schema with their types, for messages."""
    return ", ".join(
        f"{name}: {kind}" for name, kind in zip(schema.names, schema.types, strict=True)
    )


def _fields(fields: object, prefix: str) -> Iterator[tuple[str, pa.DataType]]:
    """(dotted name, type) of all columns, structs and what is in them."""
    for each in fields:  # type: ignore[attr-defined]
        yield prefix + each.name, each.type
        if pa.types.is_struct(each.type):
            yield from _fields(each.type, f"{prefix}{each.name}.")


def _image(types: Mapping[str, pa.DataType], features: Features, named: str, path: str) -> str:
    holding = [name for name in types if _holds_bytes(types, name)]
    if named:
        if named not in holding:
            raise DatasetError(f"{path!r} has no column {named!r} of bytes; {_has(types)}")
        return named
    known = [name for name in (*IMAGES, *features.images) if name in holding]
    outer = [name for name in holding if "." not in name]
    if not known and len(outer) != 1:
        raise DatasetError(
            f"{path!r} needs a column image of bytes; {_has(types)}. Another column is named by "
            f"?image=COLUMN"
        )
    return known[0] if known else outer[0]


def _label(
    types: Mapping[str, pa.DataType], features: Features, named: str, path: str
) -> str | None:
    if named and named not in types:
        raise DatasetError(f"{path!r} has no column {named!r}; {_has(types)}")
    described = [name for name in features.classes if name in types]
    known = [name for name in LABELS if name in types]
    # What the metadata calls a ClassLabel comes first, of several the one of the best known name.
    found = [name for name in known if name in described] or known or described
    label = named or (found[0] if found else "")
    if label and not _may_be_labels(types[label]):
        raise DatasetError(
            f"the column {label} of {path!r} holds {types[label]}, not integers or names; another "
            "column is named by ?label=COLUMN"
        )
    return label or None


def _name(types: Mapping[str, pa.DataType], named: str, path: str) -> str | None:
    if named and named not in types:
        raise DatasetError(f"{path!r} has no column {named!r}; {_has(types)}")
    name = named or "name"
    if name in types and not _is_text(types[name]):
        raise DatasetError(
            f"the column {name} of {path!r} holds {types[name]}, not strings; another column is "
            "named by ?name=COLUMN"
        )
    return name if name in types else None


def _has(types: Mapping[str, pa.DataType]) -> str:
    return "it has " + ", ".join(f"{n}: {t}" for n, t in types.items() if "." not in n)


def _holds_bytes(types: Mapping[str, pa.DataType], name: str) -> bool:
    inner = types.get(f"{name}.bytes")
    if inner is not None and pa.types.is_null(inner):  # all images are files beside the table
        return _is_text(types.get(f"{name}.path"))
    kind = inner or types[name]
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def _is_text(kind: pa.DataType | None) -> bool:
    return kind is not None and bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _may_be_labels(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(number or pa.types.is_null(kind) or _is_text(kind))
