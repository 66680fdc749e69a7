"""What pictures take: sizes, memory, spectra, indexes. Shared by the handlers that make some."""

import asyncio
import math
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError
from dataclasses import replace

import torch

from interp.feature.params.maco import MacoSpec
from interp.feature.settings import PictureSettings
from interp.feature.visualize import VisualizationResult
from interp.layer import LayerPath
from interp.probe import Procedure
from service.datasets import Datasets
from service.engine.job import Draining, OutOfMemory
from service.imaging import Preprocessing
from service.index.store import IndexStore
from service.index.types import Subject
from service.models.zoo import HostedModel
from service.rpc.compute import Compute
from service.rpc.validation import InvalidField
from service.rpc.wire.pictures import settings as wire_settings
from service.rpc.wire.pictures.model_at_size import ModelAtSize
from service.threads import in_daemon_thread
from service.visualization import spectra
from service.visualization.build import picture_procedure
from service.visualization.comparison import DatasetMaxima
from service.visualization.spec import PictureRequest
from service.visualization.spectra import SpectrumStore
from striate.v1 import visualize_pb2 as pb

SIZE = "settings.size"  # the field that pictures which take too much are refused under
# Bytes that as many and as large pictures as one answer can hold take while they are made.
_PLAIN_BYTES = 2**31


class PicturePlanner:
    """Finds out what the making of pictures takes, before the engine is asked to make them.

    Args:
        compute: the ways to the engine and the pool.
        datasets: whose spectra and indexes pictures may need.
        index: where exemplar indexes are kept.
        spectra: where spectra are kept.
    """

    def __init__(
        self, compute: Compute, datasets: Datasets, index: IndexStore, spectra: SpectrumStore
    ) -> None:
        self._compute, self._datasets, self._index = compute, datasets, index
        self._spectra = spectra

    async def at_size(
        self,
        settings: pb.PictureSettings,
        model: HostedModel,
        paths: Mapping[str, LayerPath],
        deterministic: bool = True,
    ) -> ModelAtSize:
        """Find the shapes of layers for pictures of the size that a request asks for.

        Args:
            settings: of the request.
            model: whose units are shown.
            paths: layers and units by the field that names them.
            deterministic: passes have as many rows as a chunk.

        Returns:
            What objectives are checked against.

        Raises:
            InvalidField: The network cannot take that size, or the device not such a pass.
        """
        preprocessing, own = wire_settings.preprocessing(settings, model), model.preprocessing
        if preprocessing.height <= own.height and preprocessing.width <= own.width:
            return ModelAtSize(model, model.network.output_shapes, preprocessing, own, paths)
        limits = self._compute.engine.limits
        rows = limits.chunk if deterministic else 1
        if pass_bytes(model, preprocessing.shape, rows) > limits.memory // 2:
            what = (
                f"a {'deterministic ' if deterministic else ''}pass of {rows} pictures of "
                f"{preprocessing.height} x {preprocessing.width} pixels"
            )
            raise InvalidField(SIZE, f"{what} takes more memory than there is")
        layers = {path.layer for path in paths.values()}
        shapes = await self._shapes_at(model, layers, preprocessing.shape)
        return ModelAtSize(model, shapes, preprocessing, preprocessing, paths)

    async def _shapes_at(
        self, model: HostedModel, layers: set[str], shape: tuple[int, int, int]
    ) -> dict[str, tuple[int, ...]]:
        """Layer -> shape of its output for one picture of that shape."""

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
                SIZE, f"this network cannot take {shape[1]} x {shape[2]}: {error}"
            ) from error

    def bounded(self, pictures: int, held: int) -> int:
        """Check the memory that the making of pictures holds.

        Args:
            pictures: how many.
            held: bytes between passes.

        Returns:
            `held`.

        Raises:
            InvalidField: That is more than jobs may have, and than plain pictures ever take.
        """
        if held > max(self._compute.engine.limits.memory, _PLAIN_BYTES):
            raise InvalidField(
                SIZE,
                f"making {pictures} such pictures takes {held / 2**20:.0f} MiB, more "
                f"memory than there is",
            )
        return held

    def check_shared_pass(self, model: HostedModel, request: PictureRequest) -> None:
        """Check that pictures which are pushed apart fit into the one pass that they share.

        Args:
            model: whose units are shown.
            request: for the pictures.

        Raises:
            InvalidField: They do not.
        """
        pictures = len(request.objectives)
        held = pass_bytes(model, request.settings.shown_shape, pictures)
        if request.diversity is not None and held > self._compute.engine.limits.memory // 2:
            raise InvalidField(
                "diversity",
                f"{pictures} pictures, which have to share a pass, take more memory than there is",
            )

    async def with_spectrum(
        self, settings: PictureSettings, preprocessing: Preprocessing
    ) -> tuple[PictureSettings, str]:
        """Find the spectrum of a data set, which a thread of its own computes unless it is kept.

        Args:
            settings: how pictures are made.
            preprocessing: how the model takes images of their size.

        Returns:
            The settings with that spectrum, and what names it; of other parameterizations than
            MACO the settings as they are, and "".

        Raises:
            UnknownDataset: There is no such data set.
            DatasetError: It has no spectrum, or cannot be read.
        """
        spec = settings.parameterization
        if not isinstance(spec, MacoSpec):
            return settings, ""
        stop = threading.Event()
        dataset = await in_daemon_thread(self._datasets.get, spec.dataset)
        try:
            magnitude = await in_daemon_thread(
                self._spectra.magnitude, dataset, preprocessing, spec.images, stop.is_set
            )
        except CancelledError as error:
            raise asyncio.CancelledError from error
        finally:
            stop.set()
        known = replace(settings, parameterization=replace(spec, magnitude=magnitude))
        return known, spectra.identity(dataset, preprocessing, spec.images)

    async def maxima(
        self, dataset: str, model: HostedModel, paths: Iterable[LayerPath | None]
    ) -> DatasetMaxima:
        """Find what units reach on a data set.

        Args:
            dataset: its name; "" for the one whose index has the most images, layer by layer.
            model: whose units they are.
            paths: the units; None and whole layers have no maximum.

        Returns:
            The maxima of the units' layers, where there is an index.

        Raises:
            IndexMissing: A data set is named, and has no index of a layer.
        """
        layers = {path.layer for path in paths if path is not None and path.unit is not None}
        subject = None
        if dataset:  # opening it may download it, and hang
            opened = await in_daemon_thread(self._datasets.get, dataset)
            subject = Subject.of(model.name, model.digest, opened)
        return await self._compute.run_in_pool(
            DatasetMaxima.find, self._index, model.name, model.digest, layers, subject
        )

    async def procedure(
        self, request: PictureRequest, where: ModelAtSize, dataset: str
    ) -> tuple[Procedure[VisualizationResult], DatasetMaxima]:
        """Put together what makes pictures, once everything about them is checked.

        Args:
            request: checked.
            where: what it was checked against.
            dataset: see `maxima`.

        Returns:
            The procedure, and what its pictures are compared with.

        Raises:
            IndexMissing: A data set is named, and has no index of a layer.
            UnknownDataset: There is no such data set.
            DatasetError: A data set has no spectrum, or cannot be read.
        """
        units = [objective.unit for objective in request.objectives]
        maxima = await self.maxima(dataset, where.model, units)
        settings, _ = await self.with_spectrum(request.settings, where.preprocessing)
        thresholds = [maxima.maximum(unit) for unit in units]
        known = replace(request, settings=settings)
        return picture_procedure(known, where.model.network, thresholds), maxima


def pass_bytes(model: HostedModel, shape: tuple[int, int, int], rows: int = 1) -> int:
    """Estimate the memory of a pass.

    Args:
        model: through which it goes.
        shape: (C, H, W) of the pictures.
        rows: how many.

    Returns:
        Bytes.
    """
    return rows * model.bytes_per_row * math.prod(shape) // math.prod(model.network.shape)
