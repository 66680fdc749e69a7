"""A request's bytes, counted before they are parsed: parsing makes an object of every element, and
a message of 60 MB may have tens of millions.

https://protobuf.dev/programming-guides/encoding has the format.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from service.rpc.doors.limits import LIMITS, MOST_FIELDS, Limit
from service.rpc.validation import InvalidField

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4, groups, are in no contract
_CONTINUED = bytes(range(128, 256))  # all bytes of a varint but its last
_MOST_VARINT = 10  # bytes
_UTF8 = 4  # most bytes of a character
_EIGHT = {
    FieldDescriptor.TYPE_DOUBLE,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
}
_FOUR = {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_SFIXED32}


class Undecodable(ValueError):
    """A request's bytes are no message of its method.

    Attributes:
        field: what `BadRequest` calls the whole request.
    """

    field = "request"

    def __init__(self, message: str) -> None:
        super().__init__(f"the request is no {message}, or was cut off on its way")


@dataclass(frozen=True)
class _Known:
    """What is to be known of a field: its name, limit and, inside it, the message."""

    name: str
    limit: Limit
    inner: Descriptor | None
    element: int | None  # bytes of a packed element; 0: a varint; None: it is not packed


@cache
def _fields(message: Descriptor) -> Mapping[int, _Known]:
    return {
        field.number: _Known(
            field.name,
            LIMITS.get(field.full_name, Limit()),
            field.message_type,
            _element(field),
        )
        for field in message.fields
    }


def _element(field: FieldDescriptor) -> int | None:
    if field.cpp_type in (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_MESSAGE):
        return None
    return 8 if field.type in _EIGHT else 4 if field.type in _FOUR else 0


class _Walk:
    """One walk over a message, which ends at the first limit that is passed."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name, self._left = data, name, MOST_FIELDS

    def message(self, start: int, end: int, kind: Descriptor, path: str) -> None:
        """Count the fields from `start` to `end`."""
        fields, counts = _fields(kind), dict[int, int]()
        place = start
        while place < end:
            self._left -= 1
            if self._left < 0:
                raise InvalidField("request", f"has more than {MOST_FIELDS} fields and entries")
            tag, place = self._varint(place, end)
            number, wire_type = tag >> 3, tag & 7
            begin, place = self._value(wire_type, place, end)
            known = fields.get(number)
            if known is None:
                continue  # of a newer client; parsing keeps its bytes as they are
            if wire_type == _LENGTH:
                self._content(known, begin, place, number, counts, path)
            elif known.limit.items is not None:
                _count(known, number, 1, counts, path)

    def _content(
        self, known: _Known, begin: int, end: int, number: int, counts: dict[int, int], path: str
    ) -> None:
        place = f"{path}{known.name}"
        entries = 1
        if known.limit.items is not None:
            if known.element is not None:
                entries = self._packed(known, begin, end)
            place = f"{place}[{counts.get(number, 0)}]" if known.element is None else place
            _count(known, number, entries, counts, path)
        if known.limit.characters is not None:
            self._text(place, known.limit.characters, begin, end)
        if known.inner is not None:
            self.message(begin, end, known.inner, f"{place}.")

    def _packed(self, known: _Known, begin: int, end: int) -> int:
        """How many elements a packed list has, or more than are allowed."""
        size, most = end - begin, known.limit.items or 0
        if known.element:
            return size // known.element
        if size > most * _MOST_VARINT:
            return most + 1
        return len(self._data[begin:end].translate(None, _CONTINUED))

    def _text(self, field: str, most: int, begin: int, end: int) -> None:
        size = end - begin
        if size <= most:
            return
        if size > _UTF8 * most:
            raise InvalidField(field, f"has {size} bytes, must have at most {most} characters")
        found = len(self._data[begin:end].decode("utf-8", errors="replace"))
        if found > most:
            raise InvalidField(field, f"has {found} characters, must have at most {most}")

    def _varint(self, place: int, end: int) -> tuple[int, int]:
        value = shift = 0
        for at in range(place, min(place + _MOST_VARINT, end)):
            byte = self._data[at]
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at + 1
            shift += 7
        raise Undecodable(self._name)

    def _value(self, wire_type: int, place: int, end: int) -> tuple[int, int]:
        """Where a field's content begins, and where it ends."""
        begin = place
        if wire_type == _VARINT:
            place = self._varint(place, end)[1]
        elif wire_type == _FIXED64:
            place += 8
        elif wire_type == _FIXED32:
            place += 4
        elif wire_type == _LENGTH:
            size, begin = self._varint(place, end)
            place = begin + size
        else:
            raise Undecodable(self._name)
        if place > end:
            raise Undecodable(self._name)
        return begin, place


def _count(known: _Known, number: int, entries: int, counts: dict[int, int], path: str) -> None:
    counts[number] = counts.get(number, 0) + entries
    most = known.limit.items
    if most is not None and counts[number] > most:
        raise InvalidField(
            f"{path}{known.name}", f"there are more than {most}, must be at most {most}"
        )


def check(data: bytes, message: Descriptor) -> None:
    """Check that the lists and strings of a request are within their limits.

    The time that it takes is bounded by the number of fields that a message may have: text is not
    looked at beyond its limit, and what images and tensors hold is passed over.

    Args:
        data: the request on the wire.
        message: what it should be.

    Raises:
        InvalidField: a list or a string passes its limit in `LIMITS`, or all fields theirs.
        Undecodable: the bytes are no message of any kind.
    """
    _Walk(data, message.full_name).message(0, len(data), message, "")
