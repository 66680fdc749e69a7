"""A unit: its picture and what that is worth, and the images that excite it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from starlette.exceptions import HTTPException
from starlette.responses import Response

from striate_web.names import own
from striate_web.pages.pictures import png_file
from striate_web.views import layers, plots, words
from striate_web.views.datasets import chosen, indexed_by, listed
from striate_web.views.portraits import Album, Making, picture_address
from striate_web.visit import Visit

if TYPE_CHECKING:
    from striate import Exemplar, UnitStatistics
    from striate.aio import AsyncModel
    from striate_web.views.layers import LayerView
    from striate_web.views.plots import Bar

_EXEMPLARS = 12
_NEAREST = 3  # shown of a bar none of whose images the index keeps


@dataclass(frozen=True)
class Place:
    """A unit, as its pages are given it.

    Attributes:
        net: The network.
        layer: The layer.
        unit: The unit's number.
        datasets: Names of the data sets with an index of the layer.
        dataset: The one that is shown, "" for none.
    """

    net: AsyncModel
    layer: LayerView
    unit: int
    datasets: tuple[str, ...]
    dataset: str

    @property
    def name(self) -> str:
        """The unit as requests call it."""
        return f"{self.layer.name}:{self.unit}"

    @property
    def query(self) -> dict[str, object]:
        """What the parts of the page that have addresses of their own are asked with."""
        return {
            "model": self.net.name,
            "layer": self.layer.title,
            "unit": self.unit,
            "dataset": self.dataset,
        }


@dataclass(frozen=True)
class Shown:
    """An exemplar with the addresses of its pictures."""

    exemplar: Exemplar
    image: str
    crop: str
    size: tuple[int, int]


async def place(visit: Visit, name: str, title: str, unit: int) -> Place:
    """Finds a unit.

    Args:
        visit: The request.
        name: The network's name.
        title: The layer's name in the address.
        unit: The unit's number.

    Returns:
        The unit.

    Raises:
        HTTPException: The layer has no such unit (404).
    """
    net = await visit.model(name)
    layer = layers.find(net, title)
    if unit >= layer.units:
        raise HTTPException(404, f"{net.name} {layer.title} has units 0 to {layer.units - 1}.")
    datasets = indexed_by(await listed(visit, net), layer.name)
    return Place(net, layer, unit, datasets, chosen(visit, datasets))


async def show(visit: Visit, name: str, title: str, number: int) -> Response:
    """Shows a unit."""
    where = await place(visit, name, title, number)
    making = Making.of(visit)
    portrait = Album(visit, where.net, where.layer.name, making, where.datasets).get(number)
    statistics, bars, exemplars, note = None, list[plots.Bar](), list[Shown](), ""
    if where.dataset:
        statistics = await _statistics(visit, where)
        bars = plots.histogram(statistics)
        exemplars, note = await _exemplars(visit, where, bars)
    return visit.page(
        "unit/_exemplars.html" if visit.is_part else "unit/page.html",
        where=where,
        net=where.net,
        layer=where.layer,
        unit=number,
        label=_label(where),
        making=making,
        portrait=portrait,
        sentences=[] if portrait is None else words.certificate(portrait),
        statistics=statistics,
        bars=bars,
        bar=visit.query.get("bar", ""),
        exemplars=exemplars,
        note=note,
        all_datasets=[] if where.dataset else await visit.service.datasets(),
        field=plots.field(where.net.info.input_size, where.layer.receptive),
        grow=own("grow", query={**where.query, **making.query}),
    )


async def picture(visit: Visit, name: str, title: str, number: int) -> Response:
    """Sends a unit's picture, as the layer's grid shows it, at an address that stays."""
    where = await place(visit, name, title, number)
    album = Album(visit, where.net, where.layer.name, Making.of(visit), where.datasets)
    async for portrait in album.all(range(number, number + 1), "interactive"):
        png = visit.pictures.get(portrait.digest)
        if png is not None:
            return png_file(visit.request, png, "private, no-cache")
    raise HTTPException(404)


def _label(where: Place) -> str:
    """The class that a logit stands for, "" for other units."""
    classes = where.net.classes
    return classes[where.unit] if where.layer.layer is None else ""


async def _statistics(visit: Visit, where: Place) -> UnitStatistics:
    key = ("statistics", where.net.info.digest, where.name, where.dataset, visit.lately)
    found: UnitStatistics | None = visit.found.get(key)
    if found is None:
        found = await where.net.statistics(where.name, dataset=where.dataset)  # type: ignore[assignment]
        visit.found.put(key, found)
    assert found is not None
    return found


async def _exemplars(visit: Visit, where: Place, bars: list[Bar]) -> tuple[list[Shown], str]:
    """The images that excite the unit most, or those of the bar that the address names."""
    if not bars or not visit.query.get("bar"):
        return (await _found(visit, where, "max"))[:_EXEMPLARS], ""
    bar = bars[visit.number("bar", 0, 0, len(bars) - 1)]
    # both orders tell the same value of an image: its largest
    found = [*await _found(visit, where, "quantile"), *await _found(visit, where, "max")]
    kept = {one.exemplar.id: one for one in found}
    inside = [one for one in kept.values() if bar.low <= one.exemplar.activation <= bar.high]
    if inside:
        return sorted(inside, key=lambda one: -one.exemplar.activation)[:_EXEMPLARS], ""
    middle = (bar.low + bar.high) / 2
    near = sorted(kept.values(), key=lambda one: abs(one.exemplar.activation - middle))
    return near[:_NEAREST], "The index keeps no image of this bar; these are the nearest it has."


async def _found(visit: Visit, where: Place, order: Literal["max", "quantile"]) -> list[Shown]:
    """The exemplars of an order, with their pictures."""
    key = ("exemplars", where.net.info.digest, where.name, where.dataset, order, visit.lately)
    found: list[Shown] | None = visit.found.get(key)
    if found is not None and all(visit.pictures.get(_digest(one.image)) for one in found):
        return found
    options = {"k": 36} if order == "max" else {}
    exemplars = await where.net.exemplars(
        where.name,
        dataset=where.dataset,
        order=order,
        skip_bad=True,
        **options,  # type: ignore[arg-type]
    )
    shown = [
        Shown(
            one,
            picture_address(visit.pictures.put(one.image_png)),
            picture_address(visit.pictures.put(one.crop_png)),
            where.net.info.input_size,
        )
        for one in exemplars
    ]
    result: list[Shown] = visit.found.put(key, shown)
    return result


def _digest(source: str) -> str:
    return source.rpartition("/")[2].removesuffix(".png")
