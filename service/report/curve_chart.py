"""The geometry of the curves of accuracy, in the units of their SVG: what lies where, and nothing
of how it looks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interp.audit.conditions import radius
from service.report.wording import counted

Rate = Mapping[str, Any]

COLOURS = 6  # of the palette in shared.css, used in turn
MARKERS = 4  # circle, square, diamond, triangle: a network is told by more than its colour
DASHES = ("7 3", "3 3", "9 3 2 3", "5 2 1 2 1 2", "12 4", "1 2")  # of the attacks, in turn
LABEL_ROOM = 46.0  # between two labels of the horizontal axis
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Frame:
    """The rectangle of a chart in which data lie; `x` and `y` take shares of it."""

    width: float = 760
    height: float = 310
    left: float = 52
    right: float = 20
    top: float = 10
    bottom: float = 46

    def x(self, at: float) -> float:
        """Convert a place across the frame to a coordinate.

        Args:
            at: the place across, from 0 at the left to 1 at the right.

        Returns:
            The x coordinate, in the chart's units.
        """
        return self.left + at * (self.width - self.left - self.right)

    def y(self, at: float) -> float:
        """Convert a height in the frame to a coordinate.

        Args:
            at: the height, from 0 at the bottom to 1 at the top.

        Returns:
            The y coordinate, in the chart's units, which grows downwards.
        """
        return self.height - self.bottom - at * (self.height - self.top - self.bottom)


@dataclass(frozen=True)
class Dot:
    """A point measured: the outline of its marker and what its tooltip says."""

    outline: str
    title: str


@dataclass(frozen=True)
class Line:
    """One curve: a network under `what`, of kind "worst", "attack" or "noise"; `points` and `band`
    are SVG points, a band may be empty.
    """

    network: str
    what: str
    kind: str
    colour: int
    dash: str
    points: str
    band: str
    dots: Sequence[Dot]


@dataclass(frozen=True)
class Curves:
    """Accuracy against epsilon under one threat, all networks."""

    norm: str
    frame: Frame
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    lines: Sequence[Line]
    styles: Sequence[tuple[str, str, str]]  # (what, kind, dash) for the legend


def curves(norm: str, networks: Sequence[Mapping[str, Any]]) -> Curves:
    """Lay out the chart of a norm, a network that was not attacked under it left out. Every curve
    starts at epsilon 0 with the clean accuracy.

    Args:
        norm: of the threats: "linf", "l2" or "l1"; at least one network was attacked under it.
        networks: of the report.

    Returns:
        Where the curves and ticks lie, and the styles for the legend.
    """
    threats = [
        (place, network, threat)
        for place, network in enumerate(networks)
        for threat in network["threats"]
        if threat["norm"] == norm
    ]
    epsilons = sorted({value for _, _, threat in threats for value in threat["epsilons"]})
    largest = epsilons[-1]
    frame = Frame()
    labels = list(
        dict.fromkeys(attack["label"] for _, _, threat in threats for attack in threat["attacks"])
    )
    dashes = {label: DASHES[place % len(DASHES)] for place, label in enumerate(labels)}
    lines = [
        _line(
            frame,
            largest,
            place,
            network,
            threat["epsilons"],
            kind,
            what,
            rates,
            dashes.get(what, ""),
        )
        for place, network, threat in threats
        for kind, what, rates in _series(threat)
    ]
    drawn = dict.fromkeys((line.what, line.kind, line.dash) for line in lines)
    order = ("worst", "attack", "noise")
    return Curves(
        norm,
        frame,
        _x_ticks(frame, epsilons),
        [(frame.y(at), f"{100 * at:.0f}%") for at in QUARTERS],
        sorted(
            lines, key=lambda line: order.index(line.kind), reverse=True
        ),  # what matters most is drawn last
        sorted(drawn, key=lambda style: order.index(style[1])),
    )


def _series(threat: Mapping[str, Any]) -> Iterator[tuple[str, str, Sequence[Rate]]]:
    """(kind, what, rates) of a threat; a single attack beyond which nothing was found is drawn
    once.
    """
    attacks, worst = threat["attacks"], threat["worst"]
    yield "noise", "random noise of equal norm", threat["noise"]
    if len(attacks) == 1 and attacks[0]["robust"] == worst:
        yield "worst", attacks[0]["label"], worst
        return
    yield from (("attack", attack["label"], attack["robust"]) for attack in attacks)
    yield "worst", "worst of all", worst


def _line(
    frame: Frame,
    largest: float,
    place: int,
    network: Mapping[str, Any],
    epsilons: Sequence[float],
    kind: str,
    what: str,
    rates: Sequence[Rate],
    dash: str,
) -> Line:
    measured = [
        (at, rate)
        for at, rate in zip([0.0, *epsilons], [network["clean"], *rates], strict=True)
        if rate["value"] is not None
    ]
    xs = [frame.x(at / largest) for at, _ in measured]
    low = [(x, frame.y(rate["low"])) for x, (_, rate) in zip(xs, measured, strict=True)]
    high = [(x, frame.y(rate["high"])) for x, (_, rate) in zip(xs, measured, strict=True)]
    middle = [(x, frame.y(rate["value"])) for x, (_, rate) in zip(xs, measured, strict=True)]
    dots = [
        Dot(
            marker(place % MARKERS, x, y, 4.0 if kind == "worst" else 2.5),
            f"{network['name']}, {what if at else 'clean'}, ε = {radius(at)}: {counted(rate)}",
        )
        for (x, y), (at, rate) in zip(middle, measured, strict=True)
    ]
    band = (
        "" if kind == "attack" else points([*low, *reversed(high)])
    )  # of attacks alone, tooltip and table tell the interval
    return Line(
        network["name"],
        what,
        kind,
        place % COLOURS,
        dash if kind == "attack" else "",
        points(middle),
        band,
        dots,
    )


def _x_ticks(frame: Frame, epsilons: Sequence[float]) -> list[tuple[float, str]]:
    """Zero, and the epsilons whose labels do not touch, the largest always among them."""
    ticks: list[tuple[float, str]] = []
    for value in reversed(epsilons):
        x = frame.x(value / epsilons[-1])
        if x - frame.left >= LABEL_ROOM / 2 and (not ticks or ticks[-1][0] - x >= LABEL_ROOM):
            ticks.append((x, radius(value)))
    return [(frame.x(0), "0"), *reversed(ticks)]


def points(pairs: Sequence[tuple[float, float]]) -> str:
    """Write pairs as SVG's `points`, in hundredths.

    Args:
        pairs: (x, y), in the chart's units.

    Returns:
        The text of the attribute.
    """
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in pairs)


def marker(shape: int, x: float, y: float, radius: float) -> str:
    """Draw the SVG path of a marker.

    Args:
        shape: 0 circle, 1 square, 2 diamond, 3 triangle.
        x: of the centre, in the chart's units.
        y: of the centre, in the chart's units.
        radius: of the circle, in the chart's units; the other shapes are about as large.

    Returns:
        The text of the path's `d`.
    """
    r = radius
    if shape == 0:
        return f"M{x - r:.2f} {y:.2f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
    corners = {
        1: [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2: [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        3: [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
    }
    return "M" + "L".join(f"{x + r * dx:.2f} {y + r * dy:.2f}" for dx, dy in corners[shape]) + "z"
