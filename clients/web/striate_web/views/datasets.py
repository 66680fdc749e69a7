"""The data sets of the server, and which of them tell of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from striate import DatasetInfo
    from striate.aio import AsyncModel
    from striate_web.visit import Visit


async def listed(visit: Visit, net: AsyncModel) -> list[DatasetInfo]:
    """Lists the data sets that the visitor may see, with the indexes of a network."""
    return await visit.service.datasets(net.name)


def indexed_by(datasets: Sequence[DatasetInfo], layer: str) -> tuple[str, ...]:
    """Names the data sets that have an index of a layer."""
    return tuple(one.name for one in datasets if layer in one.indexed_layers)


def chosen(visit: Visit, indexed: Sequence[str]) -> str:
    """Chooses the data set of a page.

    Args:
        visit: The request, whose address may name it.
        indexed: Those with an index of the layer.

    Returns:
        Its name; "" where there is none.

    Raises:
        HTTPException: The address names one without an index (404).
    """
    asked = visit.query.get("dataset", "")
    if asked and asked not in indexed:
        raise HTTPException(404, f"No index of this layer on {asked} is here.")
    return asked or next(iter(indexed), "")
