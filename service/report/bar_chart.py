"""The geometry of the chart of augmentations: where its bars lie, and nothing of how they look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.report.curve_chart import COLOURS, QUARTERS, Frame
from service.report.wording import counted


@dataclass(frozen=True)
class Bar:
    """One network's accuracy under one augmentation, with the ends of its interval; positions in
    the chart's units.
    """

    y: float
    width: float
    low: float
    high: float
    colour: int
    value: str
    title: str


@dataclass(frozen=True)
class Bars:
    """Accuracy under augmentations, one group of bars each, and every network's clean accuracy as a
    line (x, colour, title).
    """

    frame: Frame
    thickness: float
    x_ticks: Sequence[tuple[float, str]]
    groups: Sequence[tuple[float, str, Sequence[Bar]]]
    clean: Sequence[tuple[float, int, str]]


def bars(networks: Sequence[Mapping[str, Any]], thickness: float = 11, gap: float = 12) -> Bars:
    """Lay out the chart of the augmentations that any network was shown, in their order.

    Args:
        networks: of the report.
        thickness: of a bar, in the chart's units.
        gap: between the groups of two augmentations, in the chart's units.

    Returns:
        Where the bars, ticks and lines lie.
    """
    names = list(
        dict.fromkeys(item["name"] for network in networks for item in network["augmentations"])
    )
    pitch = thickness * len(networks) + gap
    frame = Frame(height=pitch * len(names) + 34, left=118, right=56, top=4, bottom=30)
    groups = []
    for row, name in enumerate(names):
        top = frame.top + gap / 2 + row * pitch
        found = [
            _bar(frame, top + place * thickness, place, network["name"], item)
            for place, network in enumerate(networks)
            for item in network["augmentations"]
            if item["name"] == name and item["accuracy"]["value"] is not None
        ]
        groups.append((top + thickness * len(networks) / 2, name, found))
    clean = [
        (
            frame.x(network["clean"]["value"]),
            place % COLOURS,
            f"{network['name']}, clean: {counted(network['clean'])}",
        )
        for place, network in enumerate(networks)
        if network["clean"]["value"] is not None
    ]
    return Bars(
        frame, thickness, [(frame.x(at), f"{100 * at:.0f}%") for at in QUARTERS], groups, clean
    )


def _bar(frame: Frame, y: float, place: int, network: str, item: Mapping[str, Any]) -> Bar:
    rate = item["accuracy"]
    title = f"{network}, {item['name'].replace('_', ' ')}: {counted(rate)}"
    ends = (frame.x(rate["value"]) - frame.left, frame.x(rate["low"]), frame.x(rate["high"]))
    return Bar(y, *ends, place % COLOURS, f"{100 * rate['value']:.1f}", title)
