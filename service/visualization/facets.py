"""What facets are made of: which layer tells a unit's exemplars apart, what it makes of them, and
which images their pictures start at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from interp.layer import LOGITS
from interp.network.describe import ReceptiveField
from interp.probe import Probe, Procedure
from service.datasets import Dataset, DatasetError
from service.datasets.samples import LeftOut, image
from service.imaging import Preprocessing

Box = tuple[int, int, int, int]  # top, left, height, width in pixels

_PROBE_ROWS = 16  # images of a probe, whose activations are kept until it is answered
_MOST_CANDIDATES = 8  # layers that are compared with the unit's own


@dataclass(frozen=True, eq=False)
class ExemplarCrops:
    """What a unit is most active on, strongest first.

    Attributes:
        ids: the numbers of N images in the data set.
        images: (N, C, H, W) in [0, 1].
        boxes: of each image, the unit's receptive field.
    """

    ids: Sequence[int]
    images: Tensor
    boxes: Sequence[Box]

    def crops(self) -> Iterator[Tensor]:
        """Yield each image cut to its box, (1, C, height, width)."""
        for pixels, (top, left, height, width) in zip(self.images, self.boxes, strict=True):
            yield pixels[None, :, top : top + height, left : left + width]


def read_exemplars(
    dataset: Dataset, ids: Sequence[int], boxes: Sequence[Box], preprocessing: Preprocessing
) -> ExemplarCrops:
    """Read and decode exemplars: not for the event loop.

    Args:
        dataset: to read from.
        ids: the numbers of the images, at least two.
        boxes: of each image, the unit's receptive field.
        preprocessing: of the network.

    Returns:
        The images as the network takes them, without those that the data set leaves out.

    Raises:
        DatasetError: An image cannot be read, and none is left out; or fewer than two are left.
    """
    read = [image(dataset, number, preprocessing) for number in ids]
    usable = [
        (number, one, box)
        for number, one, box in zip(ids, read, boxes, strict=True)
        if not isinstance(one, LeftOut)
    ]
    if len(usable) < 2:
        raise DatasetError(
            f"{len(usable)} of the unit's exemplars in data set {dataset.name!r} can be used: "
            f"facets take two at least"
        )
    kept, images, seen = zip(*usable, strict=True)
    return ExemplarCrops(kept, torch.from_numpy(np.stack(images)).float() / 255, seen)


def candidate_layers(
    layer: str, layers: Sequence[str], shapes: Mapping[str, Sequence[int]]
) -> tuple[str, ...]:
    """Find the layers whose activations may tell a unit's exemplars apart.

    Args:
        layer: the unit's.
        layers: all names, in the order in which they finish.
        shapes: layer -> shape of its output for one image.

    Returns:
        Layers that finish before the unit's, the last first, of those that have units and are
        neither inside nor around it.
    """
    before = layers if layer == LOGITS else layers[: layers.index(layer)]
    separate = [
        name
        for name in before
        if not name.startswith(f"{layer}.") and not layer.startswith(f"{name}.")
    ]
    with_units = [name for name in reversed(separate) if len(shapes[name]) in (1, 3)]
    return tuple(with_units[:_MOST_CANDIDATES])


def first_different_layer(image: Tensor, layer: str, names: Sequence[str]) -> Procedure[str | None]:
    """Find the first of some layers whose output is not that of a layer itself.

    Args:
        image: (1, C, H, W) in [0, 1].
        layer: the unit's.
        names: candidates, in order.

    Returns:
        Its name; None if there is none.
    """
    answer = yield Probe(image, layers=(layer, *names))
    output = answer.activations[layer]
    return next((name for name in names if not _same(answer.activations[name], output)), None)


def _same(one: Tensor, another: Tensor) -> bool:
    """Whether two outputs are the same numbers, as of a dropout, a flattening, or a container and
    its last layer.
    """
    return one.numel() == another.numel() and torch.equal(one.flatten(), another.flatten())


def features(
    exemplars: ExemplarCrops, layer: str, field: ReceptiveField | None
) -> Procedure[NDArray[np.float64]]:
    """Measure what a layer makes of exemplars.

    Args:
        exemplars: N of them.
        layer: of K units.
        field: its receptive field; None if that is unknown.

    Returns:
        (N, K) mean activations over the positions whose centre lies in the image's box; over all
        positions where the layer's receptive field is global or unknown.
    """
    parts = []
    for low in range(0, len(exemplars.images), _PROBE_ROWS):
        rows = slice(low, low + _PROBE_ROWS)
        answer = yield Probe(exemplars.images[rows], layers=(layer,))
        pooled = _pooled(answer.activations[layer], exemplars.boxes[rows], field)
        parts.append(pooled.double().cpu())
    return np.asarray(torch.cat(parts).numpy(), np.float64)


def _pooled(activation: Tensor, boxes: Sequence[Box], field: ReceptiveField | None) -> Tensor:
    """(N, K) means of activations (N, K, h, w) over each image's box, or (N, K) as they are."""
    if activation.ndim == 2:
        return activation
    if field is None or field.is_global:
        return activation.flatten(2).mean(2)
    height, width = activation.shape[2:]
    first_y = field.offset_y + (field.height - 1) / 2
    first_x = field.offset_x + (field.width - 1) / 2
    rows = torch.stack(
        [_inside(height, first_y, field.jump_y, top, extent) for top, _, extent, _ in boxes]
    )  # (N, h)
    columns = torch.stack(
        [_inside(width, first_x, field.jump_x, left, extent) for _, left, _, extent in boxes]
    )  # (N, w)
    return torch.einsum("nkhw,nh,nw->nk", activation, rows.to(activation), columns.to(activation))


def _inside(count: int, first: float, jump: int, start: int, extent: int) -> Tensor:
    """(count,) equal shares of the positions first + i * jump that lie within the extent; of the
    one nearest to its middle if none.
    """
    places = first + jump * torch.arange(count, dtype=torch.float64)
    inside = (places >= start) & (places < start + extent)
    if not inside.any():
        inside[(places - (start + (extent - 1) / 2)).abs().argmin()] = True
    return inside.double() / inside.sum()


def mean_crops(exemplars: ExemplarCrops, labels: Sequence[int], size: tuple[int, int]) -> Tensor:
    """Average the crops of each facet, each drawn to full size first.

    Args:
        exemplars: N of them.
        labels: the facet of each, from 0.
        size: height and width of the averages, in pixels.

    Returns:
        (facets, C, height, width) in [0, 1].
    """
    crops = torch.cat(
        [F.interpolate(crop, size, mode="bilinear", antialias=True) for crop in exemplars.crops()]
    )
    facet_of = torch.tensor(labels)
    facets = range(int(facet_of.max()) + 1)
    return torch.stack([crops[facet_of == facet].mean(0) for facet in facets]).clamp(0, 1)
