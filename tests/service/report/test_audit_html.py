"""The page: every number where it belongs, nothing from elsewhere, nothing unescaped, the same
bytes every time.
"""

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from interp.audit import conditions
from interp.audit.conditions import NORMS
from service.report import Example, audit_page
from service.report.wording import condition, printable, setting
from tests.service.report.oracles_html import Node, read
from tests.service.report.toys_report import (
    ATTACKS,
    CORRUPTIONS,
    GRIDS,
    example,
    gallery,
    rate,
    referenced,
    sequential,
    small,
    suspect,
)

DASH = "\u2013"
HOSTILE = "<script>alert(1)</script>\"'&<b onclick=x>{{ 7*7 }}"
# strings that are one of a few, and what else they may be
CHOICES: dict[str, dict[Any, str | None]] = {
    "verdict": {
        "valid": "suspect",
        "suspect": "valid",
        "pass": "fail",
        "fail": "open",
        "open": "pass",
    },
    "status": {"passed": "failed", "failed": "skipped", "skipped": "passed"},
    "norm": {"linf": "l1", "l2": "l1"},
    "stopped": {None: "gates"},
    "interval": {"clopper-pearson": "anytime", "anytime": "clopper-pearson"},
    "fixed_n_interval": {None: "clopper-pearson", "clopper-pearson": None},
}
FOR_PROGRAMS = {
    "networks.*.threats.*.attacks.*.name",  # readers are told the label
    "mce_reference",  # null, or an object that `referenced` has, as is the next
    "networks.*.corruption_error",
}
Path = tuple[str | int, ...]


@pytest.fixture(scope="module")
def tree() -> Node:
    return read(audit_page(example(), gallery()))


def section(tree: Node, name: str) -> Node:
    return tree.one("section", id=name)


def shown(of: dict[str, Any], counted: bool = False) -> str:
    """A rate as a table's cell says it, written down independently."""
    text = f"{of['value'] * 100:.1f}% {of['low'] * 100:.1f}{DASH}{of['high'] * 100:.1f}"
    return text + (f" {of['successes']}/{of['trials']}" if counted else "")


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value of a report that is no object and no list, with its path."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield from leaves(item, (*path, key))
    if not isinstance(value, dict | list):
        yield path, value


def replaced(report: Any, path: Path, value: Any) -> Any:
    """A copy of a report with one value changed."""
    report = copy.deepcopy(report)
    inner: Any = report
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return report


def kinds(report: Any) -> dict[str, Path]:
    """One path of every kind: equal but for the places in lists."""
    found: dict[str, Path] = {}
    for path, _ in leaves(report):
        found.setdefault(".".join("*" if isinstance(key, int) else key for key in path), path)
    return found


def other(key: str | int, value: Any) -> Any:
    """Another value that may stand in the same place."""
    if isinstance(key, str) and key in CHOICES:
        return CHOICES[key][value]
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value + (0.111 if value < 0.5 else -0.111)
        case None:
            return 0.1234
    return f"{value}x"


@pytest.mark.parametrize("whole", [example, sequential, referenced])
def test_every_value_of_the_report_shows(whole: Callable[[], dict[str, Any]]) -> None:
    report, places = small(whole()), kinds(whole())
    if whole is not example:  # what it has in common with the other is tried there
        places = {kind: path for kind, path in places.items() if kind not in kinds(example())}
    values, shown = dict(leaves(report)), visible(report)
    unseen = []
    for kind in sorted(places.keys() - FOR_PROGRAMS):
        path = places[kind]
        if visible(replaced(report, path, other(path[-1], values[path]))) == shown:
            unseen.append(f"{kind}: {values[path]!r}")
    assert len(places) > (100 if whole is example else 15)
    assert not unseen, "these may change unseen"


def visible(report: Any) -> list[str]:
    """What the page says, in its text and its tooltips."""
    tree = read(audit_page(report))
    return [
        tree.text,
        *(node.attributes["title"] for node in tree.all() if "title" in node.attributes),
    ]


def test_summary(tree: Node) -> None:
    rows = section(tree, "summary").one("table").rows()
    assert rows[0] == ["Network", "Clean", "L∞ ≤ 8/255", "L₂ ≤ 1", "Verdict"]
    for row, network in zip(rows[2:], example()["networks"], strict=True):
        linf, l2 = network["threats"]
        cells = [
            network["clean"],
            linf["noise"][3],
            linf["worst"][3],
            l2["noise"][3],
            l2["worst"][3],
        ]
        assert row == [
            network["name"],
            *(shown(cell, counted=True) for cell in cells),
            network["verdict"],
        ]


def test_tables_of_the_curves(tree: Node) -> None:
    tables = list(section(tree, "curves").all("table"))
    for place, (table, labels) in enumerate(
        zip(
            tables,
            (["1/255", "2/255", "4/255", "8/255"], ["0.125", "0.25", "0.5", "1"]),
            strict=True,
        )
    ):
        expected = [["ε", *labels]]
        for network in example()["networks"]:
            threat = network["threats"][place]
            series = [
                threat["noise"],
                *(attack["robust"] for attack in threat["attacks"]),
                threat["worst"],
            ]
            expected.append([network["name"]])
            for what, rates in zip(("random noise", *ATTACKS, "worst of all"), series, strict=True):
                expected.append([what, *map(shown, rates)])
        assert table.rows() == expected


def test_minimal_epsilons_in_words(tree: Node) -> None:
    plain, robust, *_ = [
        item.text for item in section(tree, "curves").all("li") if "smallest" in item.text
    ]
    assert (
        "median 2/255; 10% wrong without any; 25% at or below 1/255; 50% at or below 2/255" in plain
    )
    assert "; 75% not within those tried; 90% not within those tried." in plain
    assert plain.endswith(" Found by PGD-40 (61), checks (2).")
    assert "median above all tried; 10% wrong without any" in robust


def test_classes(tree: Node) -> None:
    rows = section(tree, "classes").one("table").rows()
    assert rows[1] == ["clean", "L∞ ≤ 8/255", "L₂ ≤ 1"] * 2
    first, second = (network["classes"] for network in example()["networks"])
    for row, a, b in zip(rows[2:], first, second, strict=True):
        rates = [
            a["clean"],
            *(item["rate"] for item in a["worst"]),
            b["clean"],
            *(item["rate"] for item in b["worst"]),
        ]
        assert row == [str(a["index"]), a["name"], *map(shown, rates)]


def test_many_classes_are_folded() -> None:
    report = example()
    for network in report["networks"]:
        network["classes"] = [{**network["classes"][0], "index": index} for index in range(21)]
    assert "open" not in section(read(audit_page(report)), "classes").one("details").attributes
    assert "open" in section(read(audit_page(example())), "classes").one("details").attributes


def test_heat_maps(tree: Node) -> None:
    tables = list(section(tree, "corruptions").all("table"))
    for table, network in zip(tables, example()["networks"], strict=True):
        by_name = {
            (item["name"], item["severity"]): item["accuracy"] for item in network["corruptions"]
        }
        assert table.rows()[0] == ["severity", "1", "2", "3", "4", "5"]
        cells = list(table.all("td"))
        for row, name in zip(table.rows()[1:], CORRUPTIONS, strict=True):
            assert row == [
                name.replace("_", " "),
                *(f"{by_name[name, severity]['value'] * 100:.1f}" for severity in range(1, 6)),
            ]
        assert len(cells) == len(by_name) == 75
        for cell in cells:  # the colour says what the number says
            assert cell.attributes["style"] == f"--a:{cell.text}%"
        assert (
            table.one("caption").text
            == f"{network['name']} mean {network['mean_corruption_accuracy'] * 100:.1f}%"
        )


def test_corruption_errors_stand_beside_their_reference() -> None:
    part = section(read(audit_page(referenced())), "corruptions")
    table = next(one for one in part.all("table") if "relative CE" in one.text)
    rows = table.rows()
    assert rows[0] == ["Corruption", "cifar10-plain", "cifar10-robust"]
    assert rows[1] == ["CE", "relative CE"] * 2
    assert rows[2] == ["gaussian noise", *["undefined"] * 4]
    assert rows[3] == ["shot noise", "80.0%", "undefined", "90.0%", "undefined"]
    assert rows[4] == ["impulse noise", "80.0%", "70.0%", "90.0%", "70.0%"]
    assert rows[-1] == [
        "mCE, relative mCE",
        "81.2% of 14",
        "-4.6% of 13",
        "91.2% of 14",
        "-4.6% of 13",
    ]
    assert "gaussian noise: both are undefined: no error." in part.text
    assert "the means over 15 corruptions at severities 1, 2, 3, 4, 5, as far as they" in part.text
    assert "not to be compared with published figures" in part.text
    assert "alexnet was not audited" in part.text
    assert len(list(part.all("caption"))) == 3  # heat maps: the reference's too
    among = section(read(audit_page(referenced(audited=True))), "corruptions")
    assert "was not audited" not in among.text
    assert len(list(among.all("caption"))) == 2


def test_comparisons_in_words(tree: Node) -> None:
    clean, attacked, corrupted = [item.text for item in section(tree, "comparisons").all("li")]
    assert clean == (
        "On clean images, cifar10-plain is the more accurate: cifar10-plain alone is right on "
        "131, cifar10-robust alone on 19. "
        "Chance alone would hardly split them so unevenly (p = 3.7e-22, corrected 7.4e-22)."
    )
    assert "On images under L∞ ≤ 8/255, cifar10-robust is the more accurate" in attacked
    assert (
        "cifar10-plain is right on more versions of 2,101 images, cifar10-robust of 2,044."
        in corrupted
    )
    assert "Chance alone may well have split them so (p = 0.39, corrected 0.39)" in corrupted
    assert "allows for all 3 of this report (Holm 1979)" in section(tree, "comparisons").text


def test_the_corrected_p_value_decides_what_is_said() -> None:
    report = example()
    report["comparisons"][0] |= {"p_value": 0.04, "holm_p_value": 0.08}
    text = section(read(audit_page(report)), "comparisons").text
    assert "may well have split them so (p = 0.04, corrected 0.08)" in text
    report["comparisons"] = [report["comparisons"][1]]
    assert "(p = 2.8e-45)." in section(read(audit_page(report)), "comparisons").text


def test_many_comparisons_stand_in_a_table() -> None:
    report = example()
    report["comparisons"] = [
        {**item, "second": f"net{number}"} for number in range(5) for item in report["comparisons"]
    ]
    part = section(read(audit_page(report)), "comparisons")
    assert not list(part.all("li"))
    rows = part.one("table").rows()
    assert len(rows) == 1 + 15
    assert rows[1] == [
        "clean images",
        "cifar10-plain",
        "net0",
        "131",
        "19",
        "3.7e-22",
        "7.4e-22",
        "cifar10-plain",
    ]
    assert rows[2][-1] == "net0"
    assert rows[3][-1] == DASH
    assert "allows for all 15 of this report" in part.text


def test_where_the_audit_ended_early_a_test_that_holds_at_all_times_decides() -> None:
    report = sequential()
    report["comparisons"][0] |= {"anytime_p_value": 0.4, "anytime_holm_p_value": 0.8}
    whole = section(read(audit_page(report)), "comparisons").text
    assert (
        "hardly split them so unevenly (p = 3.7e-22, corrected 7.4e-22; at all times p = 0.4, "
        "corrected 0.8)" in whole
    )
    early = section(read(audit_page(report | {"complete": False})), "comparisons").text
    assert (
        "may well have split them so (p = 0.4, corrected 0.8; McNemar's p = 3.7e-22, corrected "
        "7.4e-22)" in early
    )
    assert "holds whenever the audit ends" in early


def test_gates(tree: Node) -> None:
    rows = section(tree, "gates").one("table").rows()[1:]
    gates = example()["gates"]
    assert rows[0] == [
        "cifar10-plain",
        "L∞ ≤ 8/255",
        "30%",
        "✗ fail",
        "11 images",
        shown(gates[0]["rate"], counted=True),
        "95%",
    ]
    assert [row[3] for row in rows] == ["✗ fail", "✓ pass", "○ open"]


def test_checks(tree: Node) -> None:
    for table, network in zip(
        section(tree, "checks").all("table"), example()["networks"], strict=True
    ):
        for row, check in zip(table.rows()[1:], network["checks"], strict=True):
            assert row[0] == check["name"].replace("-", " ")
            assert row[1].endswith(check["status"])
            assert row[2] == f"{check['evidence']} {check['source']}"


def test_verdict() -> None:
    (valid,) = read(audit_page(example())).all("section", class_="verdict")
    (doubtful,) = read(audit_page(suspect())).all("section", class_="verdict")
    assert "valid" in valid.classes
    assert "10 of the audit's own checks passed, none failed, 2 did not apply" in valid.text
    assert "suspect" in doubtful.classes
    assert "1 of the audit's own checks failed, 9 passed" in doubtful.text
    assert "cifar10-plain, zero gradients: Gradients vanish on 0.2% of the images." in doubtful.text
    assert "because its budget of gradients was spent" in doubtful.text
    assert "320 of 512 images were judged" in doubtful.text


def test_without_checks_nothing_is_believed() -> None:
    report = example() | {"verdict": "suspect"}
    for network in report["networks"]:
        network |= {"checks": [], "verdict": "suspect"}
    tree = read(audit_page(report))
    assert "the audit did not check itself" in tree.one("section", class_="verdict").text
    assert section(tree, "checks").text.count("No check was made.") == 2


def test_the_interval_of_a_fixed_number_stands_beside_one_that_holds_at_all_times() -> None:
    report = sequential()
    clean = report["networks"][0]["clean"]
    tree = read(audit_page(report))
    row = section(tree, "summary").one("table").rows()[2]
    ends = [f"{clean['fixed_n'][end] * 100:.1f}" for end in ("low", "high")]
    expected = f"{shown(clean)} fixed n {DASH.join(ends)} {clean['successes']}/512"
    assert row[1] == expected
    assert clean["low"] < clean["fixed_n"]["low"] < clean["fixed_n"]["high"] < clean["high"]
    methods = section(tree, "methods").text
    assert "marked fixed n, is therefore the exact binomial interval of Clopper and" in methods
    plain = read(audit_page(example()))
    assert "fixed n" not in section(plain, "summary").text + section(plain, "curves").text


def test_intervals_are_explained() -> None:
    report = example()
    exact = section(read(audit_page(report)), "methods").text
    report["settings"]["interval"] = "anytime"
    assert "Clopper and Pearson (1934) at 95% confidence" in exact
    anytime = section(read(audit_page(report)), "methods").text
    assert "hold at all times at once, at 95% confidence" in anytime
    assert "Clopper" not in anytime


def test_gallery_holds_its_pictures(tree: Node) -> None:
    pictures = [image.attributes["src"] for image in section(tree, "gallery").all("img")]
    files = [
        item[name]
        for item in gallery()
        for name in ("clean_png", "perturbation_png", "adversarial_png")
    ]
    assert [
        base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in pictures
    ] == files
    first = next(section(tree, "gallery").all("figure")).text
    assert first == (
        "airplane \u00d7 15 dog cifar10-plain, L∞ ≤ 8/255, PGD-40. Image 0, in truth "
        "airplane; norm 8/255."
    )


def test_parts_that_an_audit_left_out_leave_no_heading() -> None:
    report = example() | {"comparisons": [], "gates": []}
    for network in report["networks"]:
        network |= {"classes": [], "corruptions": [], "augmentations": [], "threats": []}
    bare = read(audit_page(report))
    assert [part.attributes["id"] for part in bare.all("section") if "id" in part.attributes] == [
        "summary",
        "checks",
        "methods",
    ]
    assert [link.text for link in bare.all("a")] == ["Summary", "Checks", "Methods"]


def test_nothing_measured_is_a_dash() -> None:
    report = example()
    report["networks"][0]["classes"][0]["clean"] = rate(0, 0)
    assert section(read(audit_page(report)), "classes").one("table").rows()[2][2] == DASH


def test_networks_may_have_been_attacked_differently() -> None:
    report = example()
    del report["networks"][1]["threats"][1]
    del report["networks"][0]["threats"][0]["epsilons"][1]
    threat = report["networks"][0]["threats"][0]
    for rates in (
        threat["noise"],
        threat["worst"],
        *(attack["robust"] for attack in threat["attacks"]),
    ):
        del rates[1]
    tree = read(audit_page(report))
    assert section(tree, "summary").one("table").rows()[3][4:6] == [DASH, DASH]
    first, second = section(tree, "curves").all("table")
    assert first.rows()[2][2] == DASH  # the epsilon that only the other network was attacked with
    assert "cifar10-robust" not in second.text


@pytest.mark.parametrize(
    "render", [lambda: audit_page(example(), gallery()), lambda: audit_page(suspect())]
)
def test_nothing_comes_from_elsewhere(render: Callable[[], str]) -> None:
    text = render()
    assert not re.search(r"https?:|url\(|@import|javascript:", text)
    for node in read(text).all():
        assert node.tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert not [name for name in node.attributes if name.startswith("on")]
        assert node.attributes.get("src", "data:image/png;base64,").startswith(
            "data:image/png;base64,"
        )
        assert node.attributes.get("href", "#").startswith("#")


def test_links_lead_somewhere(tree: Node) -> None:
    ids = [node.attributes["id"] for node in tree.all() if "id" in node.attributes]
    assert len(set(ids)) == len(ids)
    assert [link.attributes["href"] for link in tree.all("a")] == [f"#{name}" for name in ids]


def hostile(value: Any, key: str = "") -> Any:
    """A report whose free strings are all an attempt to break out."""
    if isinstance(value, dict):
        return {name: hostile(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [hostile(item, key) for item in value]
    return HOSTILE if isinstance(value, str) and key not in CHOICES else value


def test_hostile_names_are_text() -> None:
    report = hostile(example())
    for network in report["networks"]:
        network["threats"][1]["norm"] = HOSTILE
    examples = cast(list[Example], [hostile(dict(item)) for item in gallery()])
    text = audit_page(report, examples)
    tree = read(text)
    assert "<script" not in text
    assert HOSTILE in tree.one("h1").text
    assert next(tree.all("title")).text.count(HOSTILE) == 2
    assert {node.tag for node in tree.all()} == {
        node.tag for node in read(audit_page(suspect(), gallery())).all()
    } | {"li"}
    assert not [name for node in tree.all() for name in node.attributes if name.startswith("on")]
    assert "49" not in tree.one("h1").text


@pytest.mark.parametrize("character", ["\0", "\x1b", "\ud800", "\uffff"])
def test_characters_that_no_page_can_hold(character: str) -> None:
    report = example()
    report["networks"][0]["name"] = f"a{character}b"
    data = audit_page(report).encode("utf-8")
    assert "a\ufffdb" in data.decode()
    assert character.encode("utf-8", "surrogatepass") not in data


def test_same_report_same_page() -> None:
    stored = json.loads(
        json.dumps(example(), sort_keys=True)
    )  # as a journal gives it back: another order of keys
    assert (
        audit_page(stored, gallery())
        == audit_page(example(), gallery())
        == audit_page(example(), gallery())
    )


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("size", [0.5 / 255, 8 / 255, 0.3, 1.0, 12.5])
def test_conditions_are_named_as_everywhere(p: float, size: float) -> None:
    assert condition(NORMS[p], size) == conditions.condition(p, size)


def test_settings_in_words() -> None:
    assert [setting(value) for value in (True, False, None, 7, "a", [], [1, None])] == [
        "yes",
        "no",
        "none",
        "7",
        "a",
        "none",
        "1, none",
    ]
    assert setting({"step": 2 / 255, "loss": "dlr"}) == "step = 2/255, loss = dlr"


def test_printable_keeps_what_can_be_said() -> None:
    value = {"a": ["tab\t\n", "é∞\U0001f600", 1, 0.5, None, True]}
    assert printable(value) == value


def test_large_audits_have_finer_percentages() -> None:
    report = example()
    report["networks"][0]["clean"] = rate(91_734, 100_000)
    assert (
        section(read(audit_page(report)), "summary")
        .one("table")
        .rows()[2][1]
        .startswith("91.73% 91.5")
    )


def test_grids_are_those_of_the_example() -> None:
    assert [list(grid) for grid in GRIDS.values()] == [
        threat["epsilons"] for threat in example()["settings"]["threats"]
    ]
