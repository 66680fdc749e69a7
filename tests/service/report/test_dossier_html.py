"""The dossier's page: geometry of its histogram, and that nothing a name holds becomes markup."""

import asyncio
import re
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from service.datasets.samples import LeftOut, summary
from service.report.dossier_html import SHIFTS, dossier_page, strongest_shifts
from service.report.histogram import histogram
from service.rpc.handlers.pictures.dossier import DossierHandler
from service.rpc.validation import InvalidField
from striate.v1 import dossier_pb2

PNG = b"\x89PNG"


def facts(**changes: Any) -> dict[str, Any]:
    picture = {
        "png": PNG,
        "dead": False,
        "activation": 2.5,
        "held_out": 2.0,
        "size": (24, 32),
        "appearance": {"clipped": 0.0123, "high_frequencies": 0.25, "saturation": 0.5},
        "dataset_appearance": {"clipped": 0.034, "high_frequencies": 0.0, "saturation": 0.25},
        "ratio": 1.25,
        "no_ratio": "",
        "rank": 3,
        "units": 8,
        "dataset": "test",
    }
    statistics = {
        "histogram_low": -1.0,
        "histogram_high": 3.0,
        "histogram": [0, 4, 16, 1],
        "quantiles": [0.5, 0.99],
        "quantile_values": [0.5, 2.75],
        "images": 21,
        "maximum": 3.0,
        "minimum": -0.0,
        "maximum_mean": 1.5,
        "minimum_mean": -0.75,
        "mean": 0.1,
        "variance": 4.0,
        "active_share": 0.125,
        "active_images": 0.5,
        "sparsity": 0.75,
    }
    return {
        "unit": "conv:7",
        "form": "value",
        "this_unit": 7,
        "model": "tiny",
        "layer_type": "Conv2d",
        "layer_units": 8,
        "dataset": "test",
        "images": 5,
        "epsilon": 8 / 255,
        "attack_steps": 10,
        "missing": [],
        "left_out": summary(()),
        "tuning": None,
        "facets": [],
        "visualizations": [picture],
        "exemplars": [
            {
                "image_png": PNG,
                "crop_png": PNG,
                "activation": 3.0,
                "name": "1.png",
                "label_name": "",
                "where": "",
            }
        ],
        "exemplars_by_mean": [
            {
                "image_png": PNG,
                "crop_png": PNG,
                "activation": 1.5,
                "name": "2.png",
                "label_name": "",
                "where": "",
            }
        ],
        "statistics": statistics,
        "shifts": [{"index": 0, "label": "cat", "mean": 0.5, "standard_error": 0.1}],
        "flips": [{"unit": 7, "share": 0.4, "shift": -1.5, "rank": 1}],
        "provenance": {
            "model": "tiny",
            "model_digest": "ab",
            "service_version": "1",
            "request_id": "r",
        },
        **changes,
    }


def test_bars_and_marks_lie_where_their_values_are() -> None:
    drawn = histogram(0.0, 4.0, [1, 4, 0, 16], [(8.0, "far"), (2.0, "near"), (2.1, "nearer")])
    frame = drawn.frame
    assert [bar.x for bar in drawn.bars] == pytest.approx(
        [frame.x(share) for share in (0, 0.125, 0.25, 0.375)]
    )
    heights = [bar.height for bar in drawn.bars]
    assert heights == pytest.approx([heights[3] / 4, heights[3] / 2, 0, frame.y(0) - frame.y(1)])
    assert [mark.x for mark in drawn.marks] == pytest.approx(
        [frame.x(share) for share in (0.25, 0.2625, 1)]
    )
    assert [mark.words for mark in drawn.marks] == ["near", "nearer", "far"]
    assert [mark.line for mark in drawn.marks] == [0, 1, 0]
    assert histogram(2.0, 2.0, [5], []).bars[0].height > 0


@pytest.mark.parametrize(("low", "high"), [(-1.23e-05, 1.23e-05), (-12345.0, 99999.0), (0.0, 3.0)])
def test_the_words_of_ticks_and_marks_lie_in_the_chart(low: float, high: float) -> None:
    drawn = histogram(low, high, [1, 2], [(low, "median"), (high, "99%")])
    letter = 8.0  # at most, in the letters of narrow screens
    for x, words in [*drawn.ticks, *((mark.x, mark.words) for mark in drawn.marks)]:
        assert x - letter * len(words) / 2 >= 0
        assert x + letter * len(words) / 2 <= drawn.frame.width


def test_pictures_stand_beside_the_images_of_the_same_measure() -> None:
    html = dossier_page(facts())
    pictures = html[html.index('id="pictures"') : html.index('id="exemplars"')]
    assert "<b>1.5</b> in the mean, 2.png" in pictures
    assert "Its largest activations in test" in html
    look = re.sub(r"\s+", " ", pictures)
    assert (
        "At 32 x 24 pixels 1.2% of the values are clipped, 25.0% of the energy is high "
        "frequencies, the saturation is 0.50 (test 3.4% of the values are clipped, 0.0% of"
    ) in look
    without = dossier_page(facts(exemplars_by_mean=[]))
    assert "highest mean</h3>" not in without
    assert "What it likes best in test" in without


def test_the_chart_is_of_maxima_alone() -> None:
    """The picture's activation is a mean over positions: among maxima it would be far too low, or
    stretch the axis and leave the page.
    """
    for activation in (-50.0, 0.01, 50.0):
        html = dossier_page(
            facts(visualizations=[{**facts()["visualizations"][0], "activation": activation}])
        )
        svg = html[html.index("<svg") : html.index("</svg>")]
        assert re.findall(r'class="words"[^>]*>([^<]*)<', svg) == ["median", "99%"]
        assert re.findall(r'class="x"[^>]*>([^<]*)<', svg) == ["-1", "0", "1", "2", "3"]


def test_many_classes_are_cut_in_the_middle() -> None:
    shifts = [{"mean": float(place)} for place in range(40, -60, -1)]
    shown, scale = strongest_shifts(shifts)
    assert [shift["mean"] for shift in shown] == [
        *range(40, 40 - SHIFTS, -1),
        *range(-59 + SHIFTS - 1, -60, -1),
    ]
    assert scale == 59
    assert strongest_shifts([{"mean": 0.0}]) == ([{"mean": 0.0}], 1.0)


def test_names_are_escaped() -> None:
    evil = '<img src=x onerror="1">'
    html = dossier_page(
        facts(
            unit=evil,
            model=evil,
            dataset=evil,
            shifts=[{"index": 0, "label": evil, "mean": 0.5, "standard_error": 0.1}],
            exemplars=[
                {
                    "image_png": PNG,
                    "crop_png": PNG,
                    "activation": 3.0,
                    "name": evil,
                    "label_name": evil,
                    "where": "",
                }
            ],
            missing=[("Facets", evil)],
            left_out=summary([LeftOut(3, evil, evil)]),
        )
    )
    assert evil not in html
    assert html.count("&lt;img src=x") >= 9


def test_what_the_page_says() -> None:
    html = dossier_page(facts())
    for said in (
        "1.25 times the highest mean",
        "Rank 3 of 8 units",
        "falls by 0.5",
        "-1.5",
        "8/255",
        "12.5%",
        "<dd>0</dd>",
        "(this one)",
    ):
        assert said in html
    assert "Left out" not in html
    assert "Not on this page" not in html
    assert 'id="facets"' not in html
    dead = dossier_page(
        facts(
            visualizations=[{**facts()["visualizations"][0], "dead": True}],
            missing=[("Tuning to gratings", "no rows")],
        )
    )
    assert "not evidence of anything" in dead
    assert "<b>Tuning to gratings</b>: no rows" in dead


def test_images_left_out_are_listed_in_a_table() -> None:
    bad = [LeftOut(number, f"n{number}", "is <none>") for number in range(1, 121)]
    html = dossier_page(facts(left_out=summary(bad)))
    assert 'images could not be used and are in no figure: <a href="#left-out">' in html
    table = html.partition('id="left-out"')[2].partition("</section>")[0]
    rows = re.findall(r"<tr><td[^>]*>(.*?)</td><th[^>]*>(.*?)</th><td>(.*?)</td></tr>", table)
    assert rows == [(str(n), f"n{n}", "is &lt;none&gt;") for n in range(1, 101)]
    assert "And 20 more." in table
    assert "<details open" not in table.replace('class="left-out" ', "")
    one = dossier_page(facts(left_out=summary(bad[:1])))
    assert "1 image could not be used and is in no figure" in one
    assert '<details class="left-out" open>' in one
    assert 'href="#left-out"' not in dossier_page(facts())


def test_a_missing_model_is_named() -> None:
    unused: Any = None
    zoo: Any = SimpleNamespace(use=nullcontext)
    handler = DossierHandler(zoo, unused, unused, unused, unused, unused)
    with pytest.raises(InvalidField, match=r"^model: is required"):
        asyncio.run(handler.compile_dossier(dossier_pb2.CompileDossierRequest(unit="c3:1"), unused))


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (
            "neg",
            (
                "What it likes least",
                "times the lowest mean of any image",
                "with the lowest mean</h3>",
                "Its smallest activations in test",
                "minimize the mean of the unit",
            ),
        ),
        (
            "abs",
            (
                "in magnitude of the mean, 1.25 times the largest magnitude of the mean",
                "with the largest magnitude of the mean</h3>",
                "Its largest magnitudes in test",
                "maximize the magnitude of the mean of the unit",
            ),
        ),
    ],
)
def test_the_words_are_of_what_the_pictures_show(form: str, said: tuple[str, ...]) -> None:
    html = dossier_page(facts(form=form))
    for words in said:
        assert words in html
    assert "highest mean</h3>" not in html
    assert "Its largest activations" not in html


def test_why_there_is_no_ratio_is_said() -> None:
    picture = {**facts()["visualizations"][0], "ratio": None, "no_ratio": "conv:7 is never < 0"}
    html = dossier_page(facts(visualizations=[picture]))
    assert "in the mean (conv:7 is never &lt; 0);" in html
