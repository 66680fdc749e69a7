"""Where the charts draw what was measured, read off against the axes that they draw themselves."""

import copy
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from service.report import audit_page
from service.report.bar_chart import bars
from service.report.curve_chart import COLOURS, LABEL_ROOM, MARKERS, curves, marker
from tests.service.report.toys_report import AUGMENTATIONS, GRIDS, example, rate

Pairs = list[tuple[float, float]]
EXACT = 0.01 / 200  # coordinates are rounded to hundredths, and an axis is at least 200 long


def drawings(report: Any) -> list[ET.Element]:
    """The charts of the page, read as strict XML."""
    return [
        ET.fromstring(text)
        for text in re.findall(r'<svg class="chart.*?</svg>', audit_page(report), re.DOTALL)
    ]


def axis(ticks: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    """Position to value, from the (position, value) of the first and the last tick."""
    (start, low), (end, high) = ticks[0], ticks[-1]
    return lambda at: low + (at - start) * (high - low) / (end - start)


def number(label: str) -> float:
    """The value that a tick's label says."""
    if label.endswith("%"):
        return float(label[:-1]) / 100
    above, _, below = label.partition("/")
    return float(above) / float(below or 1)


def ticks(chart: ET.Element, which: str) -> list[tuple[float, float]]:
    return [
        (float(text.attrib[which]), number(text.text or ""))
        for text in chart.iter("text")
        if text.get("class") == f"tick {which}"
    ]


def measured(chart: ET.Element, points: str) -> Pairs:
    """SVG points as (epsilon, accuracy), read off the chart's axes."""
    x, y = axis(ticks(chart, "x")), axis(ticks(chart, "y"))
    return [(x(float(a)), y(float(b))) for a, b in (pair.split(",") for pair in points.split())]


def series(network: dict[str, Any], threat: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The rates of every line, the clean one first."""
    attacks = {attack["label"]: attack["robust"] for attack in threat["attacks"]}
    named = {
        "random noise of equal norm": threat["noise"],
        **attacks,
        "worst of all": threat["worst"],
    }
    return {what: [network["clean"], *rates] for what, rates in named.items()}


@pytest.mark.parametrize("place", range(len(GRIDS)))
def test_curves_and_bands_lie_where_the_axes_say(place: int) -> None:
    report = example()
    chart = drawings(report)[place]
    lines = {
        (group.attrib["data-network"], group.attrib["data-what"]): group
        for group in chart.iter("g")
    }
    bands = [measured(chart, polygon.attrib["points"]) for polygon in chart.iter("polygon")]
    banded = 0
    for network in report["networks"]:
        threat = network["threats"][place]
        at = [0.0, *threat["epsilons"]]
        for what, rates in series(network, threat).items():
            group = lines.pop((network["name"], what))
            (line,) = group.iter("polyline")
            flat = [value for pair in measured(chart, line.attrib["points"]) for value in pair]
            expected = [value for x, r in zip(at, rates, strict=True) for value in (x, r["value"])]
            assert flat == pytest.approx(expected, abs=EXACT)
            if group.attrib["data-kind"] != "attack":
                outline = [
                    *((x, r["low"]) for x, r in zip(at, rates, strict=True)),
                    *((x, r["high"]) for x, r in zip(at[::-1], rates[::-1], strict=True)),
                ]
                banded += any(
                    [v for p in band for v in p]
                    == pytest.approx([v for p in outline for v in p], abs=EXACT)
                    for band in bands
                    if len(band) == len(outline)
                )
    assert not lines
    assert banded == len(bands) == 4  # of each network, the worst and the noise


def test_every_point_has_a_tooltip() -> None:
    report = example()
    chart = drawings(report)[0]
    for group in chart.iter("g"):
        texts = [(dot.find("title").text or "") for dot in group if dot.tag == "path"]  # type: ignore[union-attr]
        assert len(texts) == 1 + len(GRIDS["linf"])
        assert all(text.startswith(group.attrib["data-network"]) for text in texts)
    worst = next(group for group in chart.iter("g") if group.attrib["data-kind"] == "worst")
    assert "cifar10-plain, worst of all, ε = 8/255: 0 of 512, 0.0% (0.0\u20130.7)" in {
        title.text for title in worst.iter("title")
    }


def test_markers_stand_on_their_points() -> None:
    for group in drawings(example())[0].iter("g"):
        (line,) = group.iter("polyline")
        outlines = [dot.attrib["d"] for dot in group if dot.tag == "path"]
        for pair, outline in zip(line.attrib["points"].split(), outlines, strict=True):
            x, y = map(float, pair.split(","))
            if "a" not in outline:  # corners; their mean is the middle, but for a triangle's height
                corners = [
                    tuple(map(float, corner.split()))
                    for corner in re.split("[MLz]", outline)
                    if corner
                ]
                assert sum(c[0] for c in corners) / len(corners) == pytest.approx(x, abs=0.02)
                assert min(c[1] for c in corners) < y < max(c[1] for c in corners)
            else:
                left, top = map(float, re.findall(r"[\d.]+", outline)[:2])
                radius = float(re.findall(r"a([\d.]+)", outline)[0])
                assert (left + radius, top) == pytest.approx((x, y), abs=0.02)


def test_markers_differ() -> None:
    assert len({marker(shape, 5, 5, 2) for shape in range(MARKERS)}) == MARKERS


def test_one_attack_is_drawn_once() -> None:
    report = example()
    for network in report["networks"]:
        for threat in network["threats"]:
            threat["attacks"] = threat["attacks"][1:2]
            threat["worst"] = threat["attacks"][0]["robust"]
    chart = curves("linf", report["networks"])
    assert {(line.kind, line.what) for line in chart.lines} == {
        ("noise", "random noise of equal norm"),
        ("worst", "PGD-40"),
    }


def test_what_was_not_measured_is_not_drawn() -> None:
    networks = example()["networks"]
    for rates in (networks[0]["threats"][0]["worst"], networks[0]["threats"][0]["noise"]):
        rates[1] = rate(0, 0)
    chart = curves("linf", networks)
    lengths = {
        (line.network, line.kind): len(line.points.split())
        for line in chart.lines
        if line.kind != "attack"
    }
    assert lengths == {
        ("cifar10-plain", "worst"): 4,
        ("cifar10-plain", "noise"): 4,
        ("cifar10-robust", "worst"): 5,
        ("cifar10-robust", "noise"): 5,
    }


@pytest.mark.parametrize(
    "grid", [[1 / 255], [k / 255 for k in range(1, 17)], [0.1 / 255, 0.2 / 255, 64 / 255]]
)
def test_labels_of_the_axis_never_touch(grid: list[float]) -> None:
    networks = example()["networks"][:1]
    threat = networks[0]["threats"][0]
    threat["epsilons"] = grid
    threat["noise"] = threat["worst"] = [rate(1, 2)] * len(grid)
    threat["attacks"] = [{"name": "pgd", "label": "PGD", "robust": [rate(1, 2)] * len(grid)}]
    labels = curves("linf", networks).x_ticks
    assert labels[0][1] == "0"
    assert labels[-1][0] == pytest.approx(740)  # the largest epsilon, at the right edge
    gaps = [b - a for (a, _), (b, _) in pairwise(labels)]
    assert all(gap >= LABEL_ROOM for gap in gaps[1:])
    assert gaps[0] >= LABEL_ROOM / 2


def test_colours_repeat_but_not_together_with_markers() -> None:
    networks = []
    for place in range(COLOURS + 1):
        network = copy.deepcopy(example()["networks"][0])
        networks.append(network | {"name": f"net{place}"})
    worst = {
        line.network: (line.colour, line.dots[0].outline)
        for line in curves("linf", networks).lines
        if line.kind == "worst"
    }
    assert len(set(worst.values())) == len(networks)


def test_bars_end_at_their_accuracy() -> None:
    report = example()
    chart = drawings(report)[-1]
    across = axis(ticks(chart, "x"))
    groups = list(chart.iter("g"))
    items = [
        (network, item)
        for place in range(len(AUGMENTATIONS))
        for network in report["networks"]
        for item in [network["augmentations"][place]]
    ]
    for group, (network, item) in zip(groups, items, strict=True):
        bar, whisker, title = group.find("rect"), group.find("path"), group.find("title")
        assert bar is not None
        assert whisker is not None
        assert title is not None
        assert (title.text or "").startswith(
            f"{network['name']}, {item['name']}: {item['accuracy']['successes']} of 512"
        )
        start, width = float(bar.attrib["x"]), float(bar.attrib["width"])
        low, high = (float(value) for value in re.findall(r"[MH]([\d.]+)", whisker.attrib["d"]))
        found = [across(start), across(start + width), across(low), across(high)]
        assert found == pytest.approx(
            [0, item["accuracy"]["value"], item["accuracy"]["low"], item["accuracy"]["high"]],
            abs=EXACT,
        )
    clean = [
        across(float(re.findall(r"M([\d.]+)", path.attrib["d"])[0]))
        for path in chart.iter("path")
        if "clean" in path.attrib["class"]
    ]
    assert clean == pytest.approx(
        [network["clean"]["value"] for network in report["networks"]], abs=EXACT
    )


def test_bars_do_not_overlap() -> None:
    chart = bars(example()["networks"])
    tops = sorted(bar.y for _, _, group in chart.groups for bar in group)
    assert all(below - above >= chart.thickness - 1e-9 for above, below in pairwise(tops))
    assert tops[-1] + chart.thickness <= chart.frame.y(0)
