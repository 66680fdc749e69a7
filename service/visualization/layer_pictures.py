"""The pictures of a whole layer: which blocks they are made in, what names them in the cache, and
how a block is made.
"""

import math
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch

from interp.feature.settings import PictureSettings
from interp.layer import Form, LayerPath
from interp.probe import Procedure
from service.engine.job import NotFinite, Priority
from service.models.zoo import HostedModel
from service.visualization.build import picture_procedure
from service.visualization.cache import Picture, content_key
from service.visualization.comparison import DatasetMaxima
from service.visualization.encode import encode_pictures, not_finite_picture
from service.visualization.layer_stream import RunInPool, UnitBlock
from service.visualization.spec import PictureRequest, unit_objective

T = TypeVar("T")


class SolvePatiently(Protocol):
    """Has the engine answer a procedure, however long its queue is."""

    def __call__(
        self,
        model: HostedModel,
        procedure: Procedure[T],
        memory: int,
        priority: Priority,
        deterministic: bool = ...,
    ) -> Awaitable[T]:
        """Return the procedure's result; it holds `memory` bytes between passes."""


@dataclass(frozen=True, eq=False)
class LayerPictures:
    """Which units of which layer are shown, and how their pictures are made.

    Attributes:
        model: hosted while pictures are made.
        layer: its dotted name.
        units: which are asked for.
        layer_units: how many the layer has.
        settings: how every picture is made; the spectrum of its parameterization is known.
        spectrum: names that spectrum; "" where there is none.
        maxima: what the units reach on a data set.
        priority: of the jobs.
        memory: bytes that a block holds between passes.
        form: what of each unit is shown.
    """

    model: HostedModel
    layer: str
    units: range
    layer_units: int
    settings: PictureSettings
    spectrum: str
    maxima: DatasetMaxima
    priority: Priority
    memory: int
    form: Form = "value"

    def path(self, unit: int) -> LayerPath:
        """Return the path of a unit of the layer.

        Args:
            unit: from 0.
        """
        return LayerPath(self.layer, unit, form=self.form)

    def thresholds(self, units: Sequence[int]) -> list[float]:
        """Return what activations have to reach.

        Args:
            units: of the layer.

        Returns:
            One number a unit; NaN where that is unknown, or nothing is optimized again anyway.
        """
        if not self.settings.retries:
            return [math.nan] * len(units)
        return [self.maxima.maximum(self.path(unit)) for unit in units]

    def request(self, units: range) -> PictureRequest:
        """Make the request for the pictures of some units.

        Args:
            units: of the layer; each draws its randomness from the row of its number.

        Returns:
            The request.
        """
        objectives = [unit_objective(self.path(unit)) for unit in units]
        return PictureRequest(objectives, self.settings, rows=units)


def blocks(
    layer: LayerPictures, chunk: int, platform: Sequence[str | int], owner: str = ""
) -> list[UnitBlock]:
    """Cut a layer into blocks of one deterministic pass, which begin at the same units whichever
    are asked for.

    All that a picture depends on is in its key, also what its neighbours have to reach: which of
    them are optimized again decides what a second pass is made of; and whose it is, so that nobody
    learns from the cache what others have looked at.

    Args:
        layer: what is asked for.
        chunk: rows of a deterministic pass.
        platform: see `platform_identity`.
        owner: the name of who asks; "" for nobody in particular.

    Returns:
        The blocks that have a unit that is asked for, in order.
    """
    common = [
        *platform,
        chunk,
        layer.model.digest,
        layer.layer,
        *([] if layer.form == "value" else [layer.form]),  # as it was before there were forms
        *([["owner", owner]] if owner else []),  # and owners
        repr(layer.settings),
        repr(layer.settings.transform),
        layer.spectrum,
    ]
    found = []
    for low in range(layer.units.start // chunk * chunk, layer.units.stop, chunk):
        units = range(low, min(low + chunk, layer.layer_units))
        bounds = [None if math.isnan(bound) else bound for bound in layer.thresholds(units)]
        block = content_key(*common, [units.start, units.stop], bounds)
        keys = {unit: content_key(block, unit) for unit in units}
        found.append(UnitBlock(units, keys, [unit for unit in units if unit in layer.units]))
    return found


def platform_identity(version: str, device: torch.device, threads: int | None) -> list[str | int]:
    """Name what the last bits of a pass depend on beside its numbers.

    Args:
        version: of this service.
        device: that answers.
        threads: that the engine computes with; None or 0 for PyTorch's own number.

    Returns:
        JSON values.
    """
    if device.type == "cuda":
        return [version, torch.__version__, torch.cuda.get_device_name(device)]
    capability = torch.backends.cpu.get_cpu_capability()
    number = threads or torch.get_num_threads()
    return [version, torch.__version__, device.type, capability, number]


class LayerRenderer:
    """Makes blocks of a layer's pictures, whoever waits for them: they have no caller's deadline.

    Args:
        solve: answers the procedures of blocks; a whole layer gives way to those who cannot wait.
        run_in_pool: where pictures are encoded.
    """

    def __init__(self, solve: SolvePatiently, run_in_pool: RunInPool) -> None:
        self._solve, self._run_in_pool = solve, run_in_pool

    async def render(self, layer: LayerPictures, units: range) -> dict[int, Picture]:
        """Make the pictures of a block.

        Of a block that has values which are not finite, every unit is made alone, to find those
        that are to blame; their pictures are gray.

        Args:
            layer: how they are made.
            units: of the block, at least one.

        Returns:
            The picture of each unit.
        """
        try:
            return await self._render_together(layer, units)
        except NotFinite:
            if len(units) == 1:
                return {units.start: await self._run_in_pool(not_finite_picture, layer.settings)}
            alone = [await self.render(layer, range(unit, unit + 1)) for unit in units]
            return {unit: picture for one in alone for unit, picture in one.items()}

    async def _render_together(self, layer: LayerPictures, units: range) -> dict[int, Picture]:
        """The pictures of a block, in one job."""
        procedure = picture_procedure(
            layer.request(units), layer.model.network, layer.thresholds(units)
        )
        result = await self._solve(
            layer.model, procedure, layer.memory, layer.priority, deterministic=True
        )
        pictures = await self._run_in_pool(encode_pictures, result)
        return dict(zip(units, pictures, strict=True))
