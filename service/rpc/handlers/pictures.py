"""What the handlers that make pictures share: sizes, memory, spectra, indexes."""

import asyncio
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from interp.layer import LayerPath
from service.engine.job import Draining, OutOfMemory
from service.index.store import IndexStore
from service.index.types import Subject
from service.models.zoo import HostedModel
from service.operations import Operations
from service.rpc.context import House, Interpreter
from service.rpc.validation import InvalidField
from service.rpc.wire import units as wire_units
from service.rpc.wire import visualize as wire_visualize
from service.rpc.wire.objective import Where
from service.threads import in_daemon_thread
from service.visualization import spectra
from service.visualization.cache import Picture
from service.visualization.comparison import Standing, Yardstick
from service.visualization.spec import Recipe
from service.visualization.spectra import SpectrumStore
from striate.v1 import visualize_pb2 as pb

_WITH_UNITS = (1, 3)  # dimensions of one image's output, of layers that have units
_PLAIN = (
    2**31
)  # bytes that as many and as large pictures as one answer can hold take while they are made


@dataclass(frozen=True, eq=False)
class Spectral:
    """The magnitudes that maco takes, and what names them; None and "" of other spaces."""

    magnitude: Tensor | None = None
    identity: str = ""


@dataclass(frozen=True, eq=False)
class Yardsticks:
    """The indexes that pictures are held against, by layer."""

    by_layer: Mapping[str, Yardstick]

    def bar(self, path: LayerPath | None) -> float:
        """What the unit reaches on the data set at most; NaN where that is unknown."""
        found = None if path is None else self.by_layer.get(path.layer)
        return math.nan if found is None or path is None else found.bar(path)

    def standing(self, path: LayerPath | None, picture: Picture) -> Standing | None:
        """How a picture stands beside the data set; None where that is unknown. Reads files."""
        found = None if path is None else self.by_layer.get(path.layer)
        return None if found is None or path is None else found.standing(path, picture)


class PictureHandlers(Interpreter):
    """What Visualize, VisualizeLayer and FindFacets have in common."""

    def __init__(
        self, house: House, index: IndexStore, operations: Operations, state: Path
    ) -> None:
        super().__init__(house, index, operations, state)
        self._spectra = SpectrumStore(state / "spectra")

    async def _where(
        self,
        request: pb.VisualizeRequest,
        field: str,
        model: HostedModel,
        layers: set[str],
        chunks: bool = True,
    ) -> Where:
        """The shapes of some layers at the size that a request asks for.

        Args:
            chunks: passes are deterministic, and so have as many rows as a chunk.
        """
        seen = wire_visualize.preprocessing(request, field, model)
        if seen.shape == model.network.shape:
            return Where(model, model.network.output_shapes, seen)
        engine, rows = self._house.engine, self._house.engine.limits.chunk if chunks else 1
        if self._pass_bytes(model, seen.shape, rows) > engine.limits.memory // 2:
            what = (
                f"a {'deterministic ' if chunks else ''}pass of {rows} pictures of "
                f"{seen.height} x {seen.width} pixels"
            )
            raise InvalidField(f"{field}size", f"{what} takes more memory than there is")
        return Where(model, await self._shapes_at(model, layers, seen.shape, f"{field}size"), seen)

    def _pass_bytes(self, model: HostedModel, shape: tuple[int, int, int], rows: int = 1) -> int:
        return rows * model.bytes_per_row * math.prod(shape) // math.prod(model.network.shape)

    async def _shapes_at(
        self, model: HostedModel, layers: set[str], shape: tuple[int, int, int], field: str
    ) -> dict[str, tuple[int, ...]]:
        def look() -> dict[str, tuple[int, ...]]:
            found = model.network.activations(torch.full((1, *shape), 0.5), sorted(layers))
            return {name: tuple(a.shape[1:]) for name, a in found.items()}

        try:
            return await self._house.on_device(look)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"one picture of {shape[1]} x {shape[2]} does not fit into the device's memory"
            ) from error
        except Draining:
            raise
        except RuntimeError as error:
            raise InvalidField(
                field, f"this network cannot take {shape[1]} x {shape[2]}: {error}"
            ) from error

    def _bound(self, field: str, pictures: int, held: int) -> int:
        """The bytes that so many pictures hold; InvalidField if that is more than jobs may have,
        and than plain pictures ever take.
        """
        if held > max(self._house.engine.limits.memory, _PLAIN):
            raise InvalidField(
                field,
                f"making {pictures} such pictures takes {held / 2**20:.0f} MiB, more "
                f"memory than there is",
            )
        return held

    async def _spectral(self, recipe: Recipe, where: Where) -> Spectral:
        """The spectrum of a recipe's data set, which a thread of its own computes unless it is
        kept.
        """
        if not recipe.dataset:
            return Spectral()
        stop = threading.Event()
        images = int(recipe.space[1][0])
        dataset = await in_daemon_thread(self._house.datasets.get, recipe.dataset)
        try:
            magnitude = await in_daemon_thread(
                self._spectra.magnitude, dataset, where.preprocessing, images, stop.is_set
            )
        except CancelledError as error:
            raise asyncio.CancelledError from error
        finally:
            stop.set()
        return Spectral(magnitude, spectra.identity(dataset, where.preprocessing, images))

    async def _yardsticks(
        self, recipe: Recipe, model: HostedModel, paths: Iterable[LayerPath | None]
    ) -> Yardsticks:
        """The indexes of the units' layers over the data set that a recipe names, or over the
        largest there is of each.
        """
        layers = {path.layer for path in paths if path is not None and path.unit is not None}
        subject = await self._subject(recipe.indexed, model) if recipe.indexed else None

        def find() -> Yardsticks:
            found = {
                layer: Yardstick.find(self._index, model.name, model.digest, layer, subject)
                for layer in layers
            }
            return Yardsticks({layer: one for layer, one in found.items() if one is not None})

        return await self._house.aside(find)

    async def _subject(self, name: str, model: HostedModel) -> Subject:
        """What an index of that data set is about; opening the data set may download it,
        and hang.
        """
        return Subject.of(
            model.name, model.digest, await in_daemon_thread(self._house.datasets.get, name)
        )


def units_of(shape: Sequence[int], field: str) -> int:
    """The number of units of a layer whose output for one image has this shape; InvalidField if it
    has none.
    """
    if len(shape) not in _WITH_UNITS:
        raise InvalidField(
            field, "must name a layer whose output is (units,) or (units, rows, columns)"
        )
    return shape[0]


def path_of(text: str, field: str, model: HostedModel) -> LayerPath:
    """A layer of the model without a unit."""
    path = wire_units.path(text, field, model)
    if path.unit is not None:
        raise InvalidField(field, "must name a layer, without a unit")
    return path
