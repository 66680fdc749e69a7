"""The images of a request on their way to tensors: counted, admitted, and decoded in turn with
those of others.
"""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Self

import torch
from torch import Tensor

from service.imaging import Preprocessing
from service.imaging.decoding import LEAST, FairPool, Piece, PixelBudget
from service.process.tracing import step
from service.rpc.context import present_turn
from service.rpc.wire import images as wire_images
from service.rpc.wire import pixel_counts as wire_pixels
from striate.v1 import types_pb2

_HEADERS = 64  # that are read in one step


class Decoding:
    """The images of one batch: a context, in which they are admitted and may be read.

    Args:
        pool: where they are decoded.
        budget: of all calls.
        batch: of the request.
        preprocessing: how the model takes images.
        field: the request's field, for errors.
        patient: wait for room, rather than be refused: for work that gives way to others.
    """

    def __init__(
        self,
        pool: FairPool,
        budget: PixelBudget,
        batch: types_pb2.ImageBatch,
        preprocessing: Preprocessing,
        field: str = "images",
        patient: bool = False,
    ) -> None:
        self._pool, self._budget, self._batch = pool, budget, batch
        self._preprocessing, self._field, self._patient = preprocessing, field, patient
        self._caller = present_turn(self)
        self._counts: Sequence[int] = ()

    async def __aenter__(self) -> Self:
        """Count the pixels of all images by their headers, before any is decoded.

        Raises:
            InvalidField, InvalidImage: there are too many images, or they are too large.
            PoolBusy: so many are being decoded that these have to come back later.
        """
        number = wire_images.count(self._batch, self._field)
        self._hold = self._budget.hold(self._caller)
        with step("admit images", images=number):
            await self._admit(number)
        return self

    async def _admit(self, number: int) -> None:
        try:
            # a patient caller's other images are others of a stream, and it waits for them
            others = 0 if self._patient else self._budget.held(self._caller)
            await self._hold.set(number * LEAST, self._patient)
            self._counts = await self._count(number)
            wire_pixels.check_request(
                self._batch, self._counts, self._budget.limits, self._field, others
            )
            await self._hold.set(sum(self._counts), self._patient)
        except BaseException:
            self._hold.give_back(self._hold.pixels)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._hold.give_back(self._hold.pixels)

    def __len__(self) -> int:
        return len(self._counts)

    async def read(self, rows: range | None = None) -> Tensor:
        """Decode images, which are then no longer counted.

        Args:
            rows: their numbers; None for all.

        Returns:
            (rows, C, H, W) float32 in [0, 1].

        Raises:
            InvalidField: a tensor is of a wrong kind, shape or range.
            BadImage: an encoded image cannot be decoded; the message names it.
        """
        rows = range(len(self._counts)) if rows is None else rows
        pieces = [
            Piece(
                partial(
                    wire_images.decode_rows, self._batch, part, self._preprocessing, self._field
                ),
                sum(self._counts[part.start : part.stop]),
            )
            for part in wire_pixels.together(self._counts, rows)
        ]
        with step("decode", images=len(rows)):
            parts = await self._pool.run(self._caller, pieces)
        self._hold.give_back(sum(self._counts[rows.start : rows.stop]))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    async def _count(self, number: int) -> list[int]:
        if not self._batch.encoded:
            return wire_pixels.pixel_counts(
                self._batch, range(number), self._preprocessing, self._budget.limits, self._field
            )
        parts = [range(low, min(low + _HEADERS, number)) for low in range(0, number, _HEADERS)]
        counts = await self._pool.run(
            self._caller,
            [
                Piece(
                    partial(
                        wire_pixels.pixel_counts,
                        self._batch,
                        part,
                        self._preprocessing,
                        self._budget.limits,
                        self._field,
                    ),
                    LEAST,
                )
                for part in parts
            ],
        )
        return list(chain.from_iterable(counts))
