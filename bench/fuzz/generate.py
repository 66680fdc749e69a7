"""Odd requests: every field of a message has a value of its type or none, more often than not one
that means something, and what is then on the wire is at times damaged.
"""

import io
import math
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from PIL import Image

from bench.fuzz.methods import Method
from bench.fuzz.sense import SENSE, SENSIBLE

_INT32, _INT64 = 2**31, 2**63
_ODD_TEXTS = (
    "",
    " ",
    "a" * 201,
    "a" + " " * 100 + "b",
    "é" * 200,
    "\u202e\x00\n",
    "../../etc/passwd",
    "%s%n",
    "'; DROP TABLE operations; --",
    "<script>alert(1)</script>",
    '"',
    "neg(" * 40,
    "operations/0",
    "imagefolder:/",
)
_HALF, _NOT_A_NUMBER, _MINUS_ONE = (struct.pack("<f", value) for value in (0.5, math.nan, -1.0))
_ODD_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e300, -1e300, math.inf, -math.inf, math.nan)
MODELS = ("digits-lenet5", "cifar10-plain", "cifar10-robust")
_DATASETS = ("digits", "photo-patches")
_LAYERS: Mapping[str, Sequence[str]] = {  # with rows and columns, then without
    "digits-lenet5": ("c1", "c3", "c5", "f6"),
    "cifar10-plain": ("conv1", "layer1.0", "layer2", "logits"),
    "cifar10-robust": ("conv1", "layer1.0", "layer2", "logits"),
}
# What a text of that name most often is, beside models, data sets, layers and units.
_WORDS: Mapping[str, Sequence[str]] = {
    "dataset": _DATASETS,
    "corruptions": ("fog", "all", "jpeg_compression", "gaussian_noise"),
    "augmentations": ("rotation", "all"),
    "weights": ("", "default", "random", "IMAGENET1K_V1"),
    "filter": ("done=true", "kind=audit AND done=false", "done = false", "kind="),
    "service": ("", "striate.readiness", *MODELS),
    "file_containing_symbol": ("striate.v1.ModelService", "striate.v1.AttackRequest"),
}
_OF_MODEL = ("model", "models", "mce_reference")
_OF_LAYER = ("layer", "layers", "by_layer")
_OF_UNIT = ("unit", "objectives")
_MATTERS = ("dataset", "images", "image", "epsilon", "method", "settings", "attack", "steps")
_UNITS = ("{}:1", "{}:0@center", "{}:3", "logits:2", "neg({}:1)", "abs({}:2)", "{}:3@1,2", "{}")
_SHARES = (0.0, 0.05, 0.05, 0.2, 0.2, 0.7)  # of a request's fields that are set without need
MEANT = 0.95  # how often a text or number is one that means something


class Generator:
    """Makes requests from one seed: the same seed gives the same requests.

    Args:
        seed: of all randomness.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._model = MODELS[0]  # of the request that is being made
        self._pictures = tuple(_pictures(self._rng))
        self._numbers: Mapping[int, Callable[[], float]] = {
            FieldDescriptor.CPPTYPE_INT32: lambda: self._integer(-_INT32, _INT32 - 1),
            FieldDescriptor.CPPTYPE_INT64: lambda: self._integer(-_INT64, _INT64 - 1),
            FieldDescriptor.CPPTYPE_UINT32: lambda: self._integer(0, 2 * _INT32 - 1),
            FieldDescriptor.CPPTYPE_UINT64: lambda: self._integer(0, 2 * _INT64 - 1),
            FieldDescriptor.CPPTYPE_DOUBLE: self._float,
            FieldDescriptor.CPPTYPE_FLOAT: self._float,
            FieldDescriptor.CPPTYPE_BOOL: lambda: self._rng.random() < 0.5,
        }

    def frames(self, method: Method) -> list[bytes]:
        """Make the requests of one call, at times damaged.

        Args:
            method: that is called.

        Returns:
            The bytes of each request.
        """
        unloads = method.name.endswith("/UnloadModel")
        self._model = MODELS[0] if unloads else self._rng.choice(MODELS)
        count = self._rng.randint(0, 4) if method.kind.startswith("stream") else 1
        shares = [self._rng.choice(_SHARES) for _ in range(count)]
        made = [self.message(method.request, share) for share in shares]
        # of a choice the first alternative begins a stream, as settings do
        made.sort(key=lambda message: min([f.number for f, _ in message.ListFields()], default=99))
        return [self._damaged(message.SerializeToString()) for message in made]

    def message(self, kind: Descriptor, share: float) -> Message:
        """Make a message.

        Args:
            kind: of which kind.
            share: of its fields that are set, from 0 to 1.

        Returns:
            The message.
        """
        made: Any = GetMessageClass(kind)()
        for field in self._chosen(kind, share):
            if field.is_repeated:
                self._fill(getattr(made, field.name), field)
            elif field.message_type is not None:
                getattr(made, field.name).CopyFrom(self.message(field.message_type, share))
            else:
                setattr(made, field.name, self._value(field))
        if kind.full_name == "striate.v1.ImageBatch":
            self._make_batch(made)
        if kind.full_name in SENSE and self._rng.random() < SENSIBLE:
            SENSE[kind.full_name](made)
        return made  # type: ignore[no-any-return]

    def _chosen(self, kind: Descriptor, share: float) -> list[FieldDescriptor]:
        """The fields that are set: of every choice most often one, and those that matter."""
        choices = [one.fields for one in kind.oneofs if len(one.fields) > 1]
        alternatives = {field.number for fields in choices for field in fields}
        chosen = [self._rng.choice(fields) for fields in choices if self._rng.random() < MEANT]
        for field in kind.fields:
            wanted = MEANT if _matters(field) else share
            if field.number not in alternatives and self._rng.random() < wanted:
                chosen.append(field)
        return chosen

    def _fill(self, values: Any, field: FieldDescriptor) -> None:
        most = 4097 if field.message_type is None else 65
        count = (
            self._rng.choice((1, 2)) if self._rng.random() < MEANT else self._rng.choice((17, most))
        )
        for _ in range(count):
            if field.message_type is None:
                values.append(self._value(field))
            else:
                values.add().CopyFrom(self.message(field.message_type, 0.2))

    def _make_batch(self, batch: Any) -> None:
        """Most often a batch is one that can be read."""
        if self._rng.random() > MEANT:
            return
        batch.Clear()
        if self._rng.random() < 0.6:
            batch.encoded.extend(self._picture() for _ in range(self._rng.choice((1, 1, 1, 3))))
        else:
            channels, side = (
                1 if self._model == MODELS[0] else 3,
                self._rng.choice((32, 32, 32, 8)),
            )
            batch.tensor.dtype = self._rng.choice((1, 2, 2, 2))
            shape = (
                [1, channels, side, side] if batch.tensor.dtype == 2 else [1, side, side, channels]
            )
            batch.tensor.shape.extend(shape)
            pixel = self._rng.choice(
                (b"\x00\x00\x00\x3f", b"\x00\x00\xc0\x7f", b"\x00\x00\x80\xbf")
            )
            size = channels * side * side
            batch.tensor.data = pixel * size if batch.tensor.dtype == 2 else bytes(size)

    def _value(self, field: FieldDescriptor) -> Any:
        if field.type == FieldDescriptor.TYPE_STRING:
            return self._text(field.name)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._picture()
        if field.enum_type is not None:
            known = [value.number for value in field.enum_type.values]
            return self._rng.choice(known if self._rng.random() < MEANT else [-1, 99, _INT32 - 1])
        return self._numbers[field.cpp_type]()

    def _text(self, name: str) -> str:
        if self._rng.random() > MEANT:
            return self._rng.choice(_ODD_TEXTS)
        if name in _OF_MODEL:
            return self._model
        layer = self._rng.choice(_LAYERS[self._model])
        if name in _OF_LAYER:
            return layer
        if name in _OF_UNIT:
            return self._rng.choice(_UNITS).format(layer)
        return self._rng.choice(_WORDS.get(name, _ODD_TEXTS))

    def _integer(self, low: int, high: int) -> int:
        few = self._rng.randint(0, 4)
        odd = (low, high, 0, 255, 256, 4096, 65536, high // 2)
        return few if self._rng.random() < MEANT else max(low, min(high, self._rng.choice(odd)))

    def _float(self) -> float:
        return self._rng.random() if self._rng.random() < MEANT else self._rng.choice(_ODD_FLOATS)

    def _picture(self) -> bytes:
        picture = self._rng.choice(self._pictures)
        return picture if self._rng.random() < 0.6 else self._flipped(picture)

    def _damaged(self, data: bytes) -> bytes:
        """What arrives: most often what was sent."""
        fate = self._rng.random()
        if fate < 0.8:
            return data
        if fate < 0.85:
            return data[: self._rng.randint(0, len(data))]
        if fate < 0.9:
            return self._flipped(data)
        if fate < 0.95:
            return self._rng.randbytes(self._rng.choice((0, 1, 2, 20, 2000, 200_000)))
        return data + self._rng.choice((b"\x12\x00", b"\x1a\x00", b"\xa8\x06\x01")) * 50_000

    def _flipped(self, data: bytes) -> bytes:
        """The same with a few bytes changed."""
        changed = bytearray(data)
        for _ in range(self._rng.randint(1, 8) if changed else 0):
            changed[self._rng.randrange(len(changed))] = self._rng.randrange(256)
        return bytes(changed)


def _matters(field: FieldDescriptor) -> bool:
    """Whether a request without the field seldom gets anywhere."""
    return field.name in (*_OF_MODEL, *_OF_LAYER, *_OF_UNIT, *_MATTERS)


def _pictures(rng: random.Random) -> list[bytes]:
    """Picture files of several formats, among them flat large ones and such as only look so."""
    found = [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + struct.pack("<HH", 65535, 65535)]
    for mode, size, kind in (
        ("RGB", (32, 32), "PNG"),
        ("L", (28, 28), "PNG"),
        ("RGBA", (9, 40), "PNG"),
        ("1", (3000, 3000), "PNG"),
        ("RGB", (64, 48), "JPEG"),
        ("CMYK", (16, 16), "JPEG"),
        ("RGB", (20, 20), "WEBP"),
        ("P", (16, 16), "GIF"),
        ("I;16", (12, 12), "TIFF"),
        ("RGB", (10, 10), "BMP"),
    ):
        picture, file = Image.new(mode, size), io.BytesIO()
        if mode in ("RGB", "L"):
            picture = Image.frombytes(mode, size, rng.randbytes(size[0] * size[1] * len(mode)))
        picture.save(file, kind)
        found.append(file.getvalue())
    return found
