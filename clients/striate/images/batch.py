"""Images as they travel: ImageBatch messages that fit the message limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from striate._rpc.channel import MESSAGE_LIMIT
from striate.errors import invalid
from striate.v1 import types_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROW_LIMIT = 4096  # images of one request
ALIGNMENT = 8  # spans begin at multiples of it, as the service's padded chunks do
_BUDGET = MESSAGE_LIMIT - 4 * 2**20  # leaves room for everything beside the pixels


@dataclass(frozen=True, eq=False)
class Batch:
    """Images ready to be sent.

    Attributes:
        encoded: Encoded files, one an image, if there is no array.
        array: (N, H, W, C) uint8, or (N, C, H, W) float32 in [0, 1], little-endian; None if the
            images are files.
        names: What files are called, "" for one without a name; empty if there is an array.
    """

    encoded: tuple[bytes, ...] = ()
    array: NDArray[Any] | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.encoded) if self.array is None else len(self.array)

    def message(self, rows: range) -> pb.ImageBatch:
        """Makes the message of some consecutive rows.

        Args:
            rows: The rows, which rise by 1.

        Returns:
            The message.
        """
        if self.array is None:
            return pb.ImageBatch(encoded=self.encoded[rows.start : rows.stop])
        dtype = pb.DATA_TYPE_UINT8 if self.array.dtype.kind == "u" else pb.DATA_TYPE_FLOAT32
        sent = self.array[rows.start : rows.stop]
        return pb.ImageBatch(tensor=pb.Tensor(dtype=dtype, shape=sent.shape, data=sent.tobytes()))

    def pixels(self, shape: tuple[int, int, int], most: int) -> NDArray[np.float32] | None:
        """Gives the first images as a network sees them, where nothing has to be resized.

        Args:
            shape: (C, H, W) of the network's input.
            most: Images at most.

        Returns:
            (N, C, H, W) float32 in [0, 1]; None for files, and for arrays of another shape.
        """
        import numpy as np

        if self.array is None:
            return None
        if self.array.dtype.kind != "u":
            first: NDArray[np.float32] = self.array[:most]
        else:
            first = self.array[:most].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        return first if first.shape[1:] == shape else None

    def spans(self, reply_row: int, whole_groups: bool = False) -> list[range]:
        """Divides the rows among messages.

        Spans begin at multiples of 8 rows, unless 8 rows are too large for one message.

        Args:
            reply_row: Bytes that a row takes in the reply, which must fit a message too.
            whole_groups: Keep 8 rows together, as the service's padded chunks do.

        Returns:
            Consecutive rows that fit one message each.

        Raises:
            InvalidArgument: An image is too large for a message, or 8 are with `whole_groups`.
        """
        sizes = [max(size, reply_row) for size in self._sizes()]
        if max(sizes) > _BUDGET:
            raise invalid(
                f"images[{sizes.index(max(sizes))}]",
                f"{max(sizes)} bytes do not fit one message of {_BUDGET} bytes",
            )
        fits = all(
            sum(sizes[first : first + ALIGNMENT]) <= _BUDGET
            for first in range(0, len(sizes), ALIGNMENT)
        )
        if whole_groups and not fits:
            raise invalid(
                "images",
                f"{ALIGNMENT} of them do not fit one message of {_BUDGET} bytes, which "
                f"deterministic asks for",
            )
        return _spans(sizes, ALIGNMENT if fits else 1)

    def _sizes(self) -> list[int]:
        """Bytes of every row on the wire."""
        if self.array is None:
            return [len(encoded) + 8 for encoded in self.encoded]
        return [self.array.nbytes // len(self.array)] * len(self.array)


def _spans(sizes: Sequence[int], unit: int) -> list[range]:
    """Cuts greedily, at multiples of `unit` rows, before a span would pass the budget or the row
    limit.
    """
    spans, start, weight = [], 0, 0
    for first in range(0, len(sizes), unit):
        group = sum(sizes[first : first + unit])
        if first > start and (weight + group > _BUDGET or first + unit - start > ROW_LIMIT):
            spans.append(range(start, first))
            start, weight = first, 0
        weight += group
    return [*spans, range(start, len(sizes))]
