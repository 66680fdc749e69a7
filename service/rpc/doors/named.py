"""What a message names: the models, data sets and operations that a call is about, for the access
log.
"""

from collections.abc import Iterator, Mapping
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

DEEPEST = 3  # messages inside messages
MOST_NAMES, MOST_CHARACTERS = 32, 200

# What a string field of that name holds.
_KINDS: Mapping[str, str] = {
    "model": "models",
    "models": "models",
    "dataset": "datasets",
    "datasets": "datasets",
    "operation": "operations",
}
_OPERATIONS = "google.longrunning."  # whose `name` is an operation's
_Path = tuple[str, ...]


def named(message: Message) -> dict[str, list[str]]:
    """Read the names in a request or a response.

    Args:
        message: of any kind.

    Returns:
        Under "models", "datasets" and "operations" the names, in the order of the fields; none
        where it names nothing of the kind.
    """
    found = dict[str, list[str]]()
    for path, kind in _paths(message.DESCRIPTOR):
        inner = message
        for name in path[:-1]:
            if not inner.HasField(name):
                break
            inner = getattr(inner, name)
        else:
            value = getattr(inner, path[-1])
            for text in [value] if isinstance(value, str) else list(value[:MOST_NAMES]):
                names = found.setdefault(kind, [])
                if text and len(names) < MOST_NAMES:
                    names.append(text[:MOST_CHARACTERS])
    return {kind: names for kind, names in found.items() if names}


@cache
def _paths(descriptor: Descriptor) -> tuple[tuple[_Path, str], ...]:
    """Where messages of a kind have names, and of what."""
    return tuple(_walk(descriptor, DEEPEST))


def _walk(descriptor: Descriptor, deepest: int) -> Iterator[tuple[_Path, str]]:
    of_operations = descriptor.full_name.startswith(_OPERATIONS)
    for field in descriptor.fields:
        kind = "operations" if of_operations and field.name == "name" else _KINDS.get(field.name)
        if field.type == FieldDescriptor.TYPE_STRING and kind is not None:
            yield (field.name,), kind
        elif field.message_type is not None and not field.is_repeated and deepest:
            for path, inner in _walk(field.message_type, deepest - 1):
                yield (field.name, *path), inner
