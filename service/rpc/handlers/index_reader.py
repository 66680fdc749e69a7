"""What the exemplar index of a data set says of units, as messages."""

import asyncio
from dataclasses import dataclass
from typing import Any

from interp.layer import LayerPath
from service.datasets import Dataset
from service.datasets.samples import LeftOut
from service.index.store import IndexStore, Subject
from service.index.types import ExemplarHits, Order
from service.models.zoo import HostedModel
from service.rpc.compute import Compute
from service.rpc.validation import InvalidField
from service.rpc.wire import exemplars as wire_exemplars
from striate.v1 import exemplars_pb2 as pb


@dataclass(frozen=True)
class ExemplarMessages:
    """The exemplars of a unit.

    Attributes:
        messages: one an exemplar.
        found: what the index says of them, and of those that were left out.
        left_out: those whose images cannot be read any more.
    """

    messages: list[pb.Exemplar]
    found: ExemplarHits
    left_out: list[LeftOut]


class IndexReader:
    """Reads indexes, images and crops in the pool; the device is not asked."""

    def __init__(self, compute: Compute, index: IndexStore) -> None:
        self._compute, self._index = compute, index

    async def exemplars(
        self,
        model: HostedModel,
        path: LayerPath,
        dataset: Dataset,
        k: int,
        order: Order = "max",
        label: int | None = None,
        with_images: bool = True,
    ) -> ExemplarMessages:
        """Find the images on which a unit is most, or least, active.

        Args:
            path: the unit.
            k: how many; fewer come if the index keeps fewer.
            order: by what they are exemplars.
            label: only images of this label.
            with_images: also read and crop the images.

        Returns:
            The exemplars, strongest first, but for those that the data set leaves out.

        Raises:
            IndexMissing: the layer has no index over the data set.
            InvalidField: the index keeps no images by label.
            DatasetError: an image cannot be used, and none is left out; the message names it.
        """
        assert path.unit is not None
        subject = Subject.of(model.name, model.digest, dataset)
        try:
            found = await self._compute.run_in_pool(
                self._index.find, subject, path.layer, path.unit, k, order, label
            )
        except ValueError as error:  # the unit and the order are there
            raise InvalidField("label", str(error)) from error
        messages = [
            wire_exemplars.exemplar(hit, wire_exemplars.crop_box(hit, path, "mean" in order, model))
            for hit in found.hits
        ]
        if not with_images:
            return ExemplarMessages(messages, found, [])
        drawn = (
            self._compute.encode(wire_exemplars.add_images, message, dataset, model.preprocessing)
            for message in messages
        )
        read = await asyncio.gather(*drawn)
        usable = [one for one, left_out in zip(messages, read, strict=True) if left_out is None]
        return ExemplarMessages(usable, found, [one for one in read if one is not None])

    async def left_out(
        self, model: HostedModel, path: LayerPath, dataset: Dataset
    ) -> dict[str, Any]:
        """Read which images the index of a layer leaves out.

        Args:
            model: the loaded model.
            path: of the layer, or of one of its units.
            dataset: that was indexed.

        Returns:
            Their number and the first of them, see `service.datasets.samples.summary`.

        Raises:
            IndexMissing: the layer has no index over the data set.
        """
        subject = Subject.of(model.name, model.digest, dataset)
        return await self._compute.run_in_pool(self._index.left_out, subject, path.layer)

    async def statistics(
        self, model: HostedModel, path: LayerPath, dataset: Dataset
    ) -> list[pb.UnitStatistics]:
        """Read the statistics of a unit, or of all units of a layer.

        Args:
            model: the loaded model.
            path: of the unit; of the layer for all of its units.
            dataset: that was indexed.

        Returns:
            One message a unit, in order.

        Raises:
            IndexMissing: the layer has no index over the data set.
        """
        subject = Subject.of(model.name, model.digest, dataset)

        def read() -> list[pb.UnitStatistics]:
            return [
                wire_exemplars.statistics(path.layer, unit)
                for unit in self._index.statistics(subject, path.layer, path.unit)
            ]

        return await self._compute.run_in_pool(read)
