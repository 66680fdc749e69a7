"""What pictures take: sizes, memory, spectra, indexes. Shared by the handlers that make some."""

import asyncio
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.feature.visualize import Pictures
from interp.layer import LayerPath
from interp.probe import Procedure
from service.datasets import Datasets
from service.engine.job import Draining, OutOfMemory
from service.index.store import IndexStore
from service.index.types import Subject
from service.models.zoo import HostedModel
from service.rpc.compute import Compute
from service.rpc.validation import InvalidField
from service.rpc.wire import visualize as wire_visualize
from service.rpc.wire.objective import Where
from service.threads import in_daemon_thread
from service.visualization import build, spectra
from service.visualization.cache import Picture
from service.visualization.comparison import Standing, Yardstick
from service.visualization.spec import Goal, Recipe
from service.visualization.spectra import SpectrumStore
from striate.v1 import visualize_pb2 as pb

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


class PicturePlanner:
    """Finds out what the making of pictures takes, before the engine is asked to make them."""

    def __init__(
        self, compute: Compute, datasets: Datasets, index: IndexStore, spectra: SpectrumStore
    ) -> None:
        self._compute, self._datasets, self._index = compute, datasets, index
        self._spectra = spectra

    async def shapes(
        self,
        settings: pb.PictureSettings,
        model: HostedModel,
        layers: set[str],
        deterministic: bool = True,
    ) -> Where:
        """Find the shapes of some layers for pictures of the size that a request asks for.

        Args:
            layers: their dotted names.
            deterministic: passes have as many rows as a chunk.

        Raises:
            InvalidField: the network cannot take that size, or the device not such a pass.
        """
        seen = wire_visualize.preprocessing(settings, model)
        if seen.shape == model.network.shape:
            return Where(model, model.network.output_shapes, seen)
        engine = self._compute.engine
        rows = engine.limits.chunk if deterministic else 1
        if pass_bytes(model, seen.shape, rows) > engine.limits.memory // 2:
            what = (
                f"a {'deterministic ' if deterministic else ''}pass of {rows} pictures of "
                f"{seen.height} x {seen.width} pixels"
            )
            raise InvalidField("settings.size", f"{what} takes more memory than there is")
        return Where(model, await self._shapes_at(model, layers, seen.shape), seen)

    async def _shapes_at(
        self, model: HostedModel, layers: set[str], shape: tuple[int, int, int]
    ) -> dict[str, tuple[int, ...]]:
        def run() -> dict[str, tuple[int, ...]]:
            found = model.network.activations(torch.full((1, *shape), 0.5), sorted(layers))
            return {name: tuple(a.shape[1:]) for name, a in found.items()}

        try:
            return await self._compute.run_on_device(run)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"one picture of {shape[1]} x {shape[2]} does not fit into the device's memory"
            ) from error
        except Draining:
            raise
        except RuntimeError as error:
            raise InvalidField(
                "settings.size", f"this network cannot take {shape[1]} x {shape[2]}: {error}"
            ) from error

    def bounded(self, field: str, pictures: int, held: int) -> int:
        """Check the bytes that the making of so many pictures holds.

        Returns:
            The bytes.

        Raises:
            InvalidField: that is more than jobs may have, and than plain pictures ever take.
        """
        if held > max(self._compute.engine.limits.memory, _PLAIN):
            raise InvalidField(
                field,
                f"making {pictures} such pictures takes {held / 2**20:.0f} MiB, more "
                f"memory than there is",
            )
        return held

    async def spectrum(self, recipe: Recipe, where: Where) -> Spectral:
        """The spectrum of a recipe's data set, which a thread of its own computes unless it is
        kept.
        """
        if not recipe.dataset:
            return Spectral()
        stop = threading.Event()
        images = int(recipe.space[1][0])
        dataset = await in_daemon_thread(self._datasets.get, recipe.dataset)
        try:
            magnitude = await in_daemon_thread(
                self._spectra.magnitude, dataset, where.preprocessing, images, stop.is_set
            )
        except CancelledError as error:
            raise asyncio.CancelledError from error
        finally:
            stop.set()
        return Spectral(magnitude, spectra.identity(dataset, where.preprocessing, images))

    async def yardsticks(
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

        return await self._compute.run_in_pool(find)

    async def procedure(
        self, goals: Sequence[Goal], recipe: Recipe, where: Where
    ) -> tuple[Procedure[Pictures], Yardsticks]:
        """Put together what makes the pictures, once everything about them is checked.

        Args:
            goals: one a picture; picture i draws from the recipe's seed and i.

        Returns:
            The procedure, and the indexes that its pictures are held against.
        """
        yardsticks = await self.yardsticks(recipe, where.model, (goal.unit for goal in goals))
        spectrum = await self.spectrum(recipe, where)
        procedure = build.picture(
            goals,
            recipe,
            where.model.network,
            rows=[(recipe.seed, row) for row in range(len(goals))],
            bars=[yardsticks.bar(goal.unit) for goal in goals],
            magnitude=spectrum.magnitude,
        )
        return procedure, yardsticks

    def check_shared_pass(self, model: HostedModel, recipe: Recipe, pictures: int) -> None:
        """Check that pictures which are pushed apart fit into the one pass that they share."""
        if recipe.apart is None:
            return
        if pass_bytes(model, recipe.shape, pictures) > self._compute.engine.limits.memory // 2:
            raise InvalidField(
                "diversity",
                f"{pictures} pictures, which have to share a pass, take more memory than there is",
            )

    async def _subject(self, name: str, model: HostedModel) -> Subject:
        """What an index of that data set is about; opening the data set may download it,
        and hang.
        """
        return Subject.of(
            model.name, model.digest, await in_daemon_thread(self._datasets.get, name)
        )


def pass_bytes(model: HostedModel, shape: tuple[int, int, int], rows: int = 1) -> int:
    """Bytes of a pass over so many pictures (C, H, W)."""
    return rows * model.bytes_per_row * math.prod(shape) // math.prod(model.network.shape)
