"""A layer: all its units as a grid that fills while the server streams, alone or beside another
network's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from starlette.responses import Response

from striate_web.pages.stream import stream_address
from striate_web.views import layers, plots
from striate_web.views.datasets import chosen, indexed_by, listed
from striate_web.views.portraits import Album, Making
from striate_web.visit import Visit

if TYPE_CHECKING:
    from striate import LayerStatistics, Tuning
    from striate.aio import AsyncModel
    from striate_web.views.layers import LayerView

MOST = 512  # units of one page
ORDERS = {
    "number": "number",
    "activity": "activity: active on most images first",
    "sparsity": "sparsity: active on fewest images first",
    "ratio": "ratio of picture to data set",
    "orientation": "tuned orientation",
}


async def show(visit: Visit, name: str, title: str) -> Response:
    """Shows a layer.

    Args:
        visit: The request.
        name: The network's name.
        title: The layer's name in the address.

    Returns:
        The page.
    """
    net = await visit.model(name)
    layer = layers.find(net, title)
    datasets = await listed(visit, net)
    indexed = indexed_by(datasets, layer.name)
    making, dataset = Making.of(visit), chosen(visit, indexed)
    order = visit.choice("sort", ORDERS)
    first = visit.number("first", 0, 0, max(0, layer.units - 1))
    album = Album(visit, net, layer.name, making, indexed)
    shown = range(first, min(first + MOST, layer.units))
    units, note = await _sorted(visit, net, layer, album, shown, order, dataset)
    other = await _other(visit, visit.query.get("beside", ""), layer.title)
    wanted = [(net.name, layer.title, shown)]
    if other is not None:
        wanted.append((other[0].name, other[1].title, range(min(MOST, other[1].units))))
    return visit.page(
        "layer.html",
        net=net,
        layer=layer,
        units=units,
        known={unit: album.get(unit) for unit in units},
        shown=shown,
        most=MOST,
        order=order,
        orders=ORDERS,
        note=note,
        other=other,
        dataset=dataset,
        datasets=datasets,
        indexed=indexed,
        making=making,
        field=plots.field(net.info.input_size, layer.receptive),
        models=[one for one in await visit.service.models() if one.state == "serving"],
        stream=stream_address(wanted, making) if shown else "",
    )


async def _other(visit: Visit, name: str, title: str) -> tuple[AsyncModel, LayerView] | None:
    """The layer of the same name in the network that the address wants beside this one."""
    if not name:
        return None
    net = await visit.model(name)
    return net, layers.find(net, title)


async def _sorted(
    visit: Visit,
    net: AsyncModel,
    layer: LayerView,
    album: Album,
    units: range,
    order: str,
    dataset: str,
) -> tuple[list[int], str]:
    """The units in the order asked for, and a note where there is nothing to order them by."""
    if order in ("activity", "sparsity"):
        if not dataset:
            return list(units), "No index tells how active the units are on images."
        found = await _statistics(visit, net, layer, dataset)
        if order == "activity":
            return _by(units, lambda unit: -found[unit].active_images), ""
        return _by(units, lambda unit: -found[unit].sparsity), ""
    if order == "ratio":
        ratios = {unit: portrait.ratio for unit in units if (portrait := album.get(unit))}
        known = {unit: ratio for unit, ratio in ratios.items() if ratio is not None}
        note = (
            "" if len(known) == len(units) else "Sorted by the ratios known so far: load it anew."
        )
        return _by(units, lambda unit: -known.get(unit, -math.inf)), note
    if order == "orientation":
        if layer.layer is None or layer.layer.receptive_field is None:
            return list(units), "Units without rows and columns have no orientation."
        tuned = await tuning(visit, net, layer)
        return _by(units, lambda unit: tuned.units[unit].orientation), ""
    return list(units), ""


def _by(units: Iterable[int], key: Callable[[int], float]) -> list[int]:
    return sorted(units, key=key)


async def _statistics(
    visit: Visit, net: AsyncModel, layer: LayerView, dataset: str
) -> LayerStatistics:
    key = ("statistics", net.info.digest, layer.name, dataset, visit.lately)
    found: LayerStatistics | None = visit.found_large.get(key)
    if found is None:
        found = visit.found_large.put(key, await net.statistics(layer.name, dataset=dataset))
    assert found is not None
    return found


async def tuning(visit: Visit, net: AsyncModel, layer: LayerView) -> Tuning:
    """Measures a layer's tuning curves, or finds them measured."""
    key = ("tuning", net.info.digest, layer.name)
    found: Tuning | None = visit.found_large.get(key)
    return found or visit.found_large.put(key, await net.tuning(layer.name))
