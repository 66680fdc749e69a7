"""What facets are made of: which layer tells a unit's exemplars apart, what it makes of them, and
where pictures begin.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from interp.layer import LOGITS
from interp.network.describe import ReceptiveField
from interp.probe import Probe, Procedure

Box = tuple[int, int, int, int]  # top, left, height, width in pixels

_PART = 16  # images of a probe, whose activations are kept until it is answered
_TRIED = 8  # layers that are compared with the unit's own


def candidates(
    layer: str, layers: Sequence[str], shapes: Mapping[str, Sequence[int]]
) -> tuple[str, ...]:
    """The layers that finish before `layer`, the last first, of those that have units and are
    neither inside nor around it.
    """
    before = layers if layer == LOGITS else layers[: layers.index(layer)]
    apart = [
        name
        for name in before
        if not name.startswith(f"{layer}.") and not layer.startswith(f"{name}.")
    ]
    return tuple([name for name in reversed(apart) if len(shapes[name]) in (1, 3)][:_TRIED])


def other(image: Tensor, layer: str, names: Sequence[str]) -> Procedure[str | None]:
    """The first of some layers whose output on an image (1, C, H, W) is not that of `layer` itself;
    None if there is none.
    """
    answer = yield Probe(image, layers=(layer, *names))
    own = answer.activations[layer]
    return next((name for name in names if not _same(answer.activations[name], own)), None)


def _same(one: Tensor, another: Tensor) -> bool:
    """Whether two outputs are the same numbers, as of a dropout, a flattening, or a container and
    its last layer.
    """
    return one.numel() == another.numel() and torch.equal(one.flatten(), another.flatten())


def features(
    images: Tensor, boxes: Sequence[Box], layer: str, field: ReceptiveField | None
) -> Procedure[NDArray[np.float64]]:
    """(N, K) the mean activations of a layer on images (N, C, H, W), over the positions whose
    centre lies in the image's box.

    Over all positions where the layer's receptive field is global or unknown (None).
    """
    parts = []
    for low in range(0, len(images), _PART):
        answer = yield Probe(images[low : low + _PART], layers=(layer,))
        parts.append(
            _pooled(answer.activations[layer], boxes[low : low + _PART], field).double().cpu()
        )
    return np.asarray(torch.cat(parts).numpy(), np.float64)


def _pooled(activation: Tensor, boxes: Sequence[Box], field: ReceptiveField | None) -> Tensor:
    if activation.ndim == 2:
        return activation
    if field is None or field.is_global:
        return activation.flatten(2).mean(2)
    height, width = activation.shape[2:]
    middle_y, middle_x = (
        field.offset_y + (field.height - 1) / 2,
        field.offset_x + (field.width - 1) / 2,
    )
    rows = torch.stack(
        [_inside(height, middle_y, field.jump_y, top, high) for top, _, high, _ in boxes]
    )  # (N, h)
    columns = torch.stack(
        [_inside(width, middle_x, field.jump_x, left, wide) for _, left, _, wide in boxes]
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


def beginnings(
    images: Tensor, boxes: Sequence[Box], labels: Sequence[int], size: tuple[int, int]
) -> Tensor:
    """(facets, C, H, W) the mean crop of each facet, every crop drawn to full size first."""
    crops = torch.cat(
        [
            F.interpolate(crop, size, mode="bilinear", antialias=True)
            for crop in cropped(images, boxes)
        ]
    )
    of = torch.tensor(labels)
    return torch.stack([crops[of == facet].mean(0) for facet in range(int(of.max()) + 1)]).clamp(
        0, 1
    )


def cropped(images: Tensor, boxes: Sequence[Box]) -> Iterator[Tensor]:
    """Each image (C, H, W) cut to its box, (1, C, height, width)."""
    for image, (top, left, height, width) in zip(images, boxes, strict=True):
        yield image[None, :, top : top + height, left : left + width]
