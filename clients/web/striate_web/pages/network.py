"""A network: its way from edges to objects, and all its layers."""

from __future__ import annotations

from starlette.responses import Response

from striate_web.pages.stream import stream_address
from striate_web.views import layers, plots
from striate_web.views.datasets import listed
from striate_web.views.layers import LOGITS, LayerView
from striate_web.visit import Visit

_UNITS = 8  # shown of a layer


async def show(visit: Visit, name: str) -> Response:
    """Shows a network.

    Args:
        visit: The request.
        name: The network's name.

    Returns:
        The page.
    """
    net = await visit.model(name)
    datasets = await listed(visit, net)
    way = layers.way(net.layers)
    rows = [*way, LayerView(LOGITS, LOGITS, len(net.classes), None)]
    units = [range(min(_UNITS, row.units)) for row in rows]
    wanted = [(net.name, row.title, span) for row, span in zip(rows, units, strict=True)]
    return visit.page(
        "network.html",
        net=net,
        rows=list(zip(rows, units, strict=True)),
        all=[layers.view(layer) for layer in net.layers],
        fields={row.name: plots.field(net.info.input_size, row.receptive) for row in rows},
        datasets=[one for one in datasets if one.indexed_layers],
        stream=stream_address(wanted),
    )
