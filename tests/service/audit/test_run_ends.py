"""When an audit ends, before its last image or with it, and what it tells until then."""

import json
import threading
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from scipy import stats

from interp.audit.conditions import NORMS
from interp.audit.statistics import Gate
from interp.audit.tally import NetworkGate
from service.audit.journal import Journal
from service.audit.run import AuditRun
from service.audit.spec import AuditProgress
from service.engine.job import QueueFull
from service.report import schema
from tests.service.audit.toys_audit import (
    SHARD,
    Device,
    Died,
    at_once,
    hosted,
    job,
    reports,
    run,
)

LONG = 30.0  # seconds after which a test that hangs has failed


@pytest.mark.parametrize("bar", [0.05, 0.6, 0.99])
def test_gates_end_an_audit_at_the_shard_that_decides_them(tmp_path: Path, bar: float) -> None:
    gate = Gate(bar, 0.1, 0.1)
    assignment = job(
        count=96, gates=(NetworkGate(0, "clean", gate), NetworkGate(0, "linf:4/255", gate))
    )
    judged, labels, _ = at_once(assignment)
    right = judged.clean == labels
    decisions = [gate.decide(right), gate.decide(right & (judged.fooled_at[0].min(0) > 0))]
    all_decided = all(d.verdict.name != "OPEN" for d in decisions)
    expected = min(96, -(-max(d.trials for d in decisions) // SHARD) * SHARD) if all_decided else 96
    run(assignment, tmp_path / "whole")
    report = json.loads((tmp_path / "whole" / "report.json").read_text())
    assert report["images"] == expected
    assert report["stopped"] == ("gates" if expected < 96 else None)
    clean, names = report["networks"][0]["clean"], ("interval", "fixed_n_interval")
    if expected < 96:
        assert [report["settings"][name] for name in names] == ["anytime", None]
        assert "fixed_n" not in clean
    else:
        exact = stats.binomtest(int(right.sum()), 96).proportion_ci(0.9)
        assert [report["settings"][name] for name in names] == ["anytime", "clopper-pearson"]
        assert clean["fixed_n"] == pytest.approx({"low": exact.low, "high": exact.high})
    found = {
        gate["condition"]: (gate["verdict"], gate["decided_after"]) for gate in report["gates"]
    }
    for at, decision in zip(("clean", "linf:4/255"), decisions, strict=True):
        assert found[at] == (
            decision.verdict.name.lower(),
            decision.trials if decision.verdict.name != "OPEN" else 96,
        )
    with pytest.raises(Died):
        run(assignment, tmp_path / "taken up", Device(dies_at=expected // SHARD - 1))
    run(assignment, tmp_path / "taken up")
    assert reports(tmp_path / "taken up") == reports(tmp_path / "whole")


def test_networks_of_an_audit_that_ended_early_are_compared_by_a_test_that_allows_for_it(
    tmp_path: Path,
) -> None:
    networks = (hosted("a"), hosted("b", 1))
    gate = NetworkGate(0, "clean", Gate(0.05, 0.1, 0.1))
    run(job(count=96, models=networks, gates=(gate,)), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(report)
    assert (report["stopped"], report["images"]) == ("gates", SHARD)
    assert [item["condition"] for item in report["comparisons"]] == [
        "clean",
        "linf:16/255",
        "l2:0.5",
        "corruptions",
    ]
    for item in report["comparisons"]:
        assert item["p_value"] <= item["anytime_p_value"] <= item["anytime_holm_p_value"] <= 1
    page = (tmp_path / "report.html").read_text()
    assert "holds whenever the audit ends" in page


def test_a_spent_budget_ends_an_audit_after_its_shard(tmp_path: Path) -> None:
    spent = []
    for number in range(4):
        assignment = job(images=SHARD * (number + 1))
        finished, _ = run(assignment, tmp_path / str(number))
        spent.append(finished.tally.gradients)
    assert spent[0] < spent[1] < spent[2]
    for budget, shards in (
        (1, 1),
        (spent[0], 1),
        (spent[0] + 1, 2),
        (spent[1], 2),
        (spent[3] + 1, 4),
    ):
        folder = tmp_path / f"budget {budget} {shards}"
        run(job(budget=budget), folder)
        report = json.loads((folder / "report.json").read_text())
        assert report["images"] == min(60, shards * SHARD)
        assert report["stopped"] == ("budget" if shards < 4 else None)


def test_a_full_queue_is_waited_out(tmp_path: Path) -> None:
    device, refusals = Device(), iter([True, False, True, True])

    def full(model: Any, procedure: Any, rows: int) -> Any:
        if next(refusals, False):
            raise QueueFull(3, 0.001)
        return device(model, procedure, rows)

    run(job(), tmp_path / "waited", full)
    run(job(), tmp_path / "at once")
    assert reports(tmp_path / "waited") == reports(tmp_path / "at once")


def test_cancelling_ends_at_once_and_frees_the_device(tmp_path: Path) -> None:
    stop, begun, given = threading.Event(), threading.Event(), list[Future[Any]]()

    def never(model: Any, procedure: Any, rows: int) -> Any:
        given.append(Future())
        begun.set()
        return given[-1]

    outcome: list[BaseException] = []

    def work() -> None:
        try:
            run(job(), tmp_path, never, stop.is_set)
        except CancelledError as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(LONG)
    stop.set()
    thread.join(LONG)
    assert outcome
    assert [future.cancelled() for future in given] == [True]


def test_progress_rises_to_the_end_with_an_estimate(tmp_path: Path) -> None:
    with pytest.raises(Died):
        run(job(), tmp_path, Device(dies_at=2))
    _, told = run(job(), tmp_path)
    assert [p.images for p in told] == sorted(p.images for p in told)
    assert told[-1].images == told[-1].total == 60
    taken_up = [p for p in told if p.images <= 2 * SHARD]
    assert {p.seconds_left for p in taken_up} == {None}  # nothing was judged yet in this run
    assert all(
        p.seconds_left is not None and p.seconds_left >= 0 for p in told if p.images > 2 * SHARD
    )


def test_stages_name_the_shard_that_is_judged(tmp_path: Path) -> None:
    def stages(told: list[AuditProgress]) -> list[tuple[int, str]]:
        return [(p.images // SHARD, p.stage) for p in told if p.stage.startswith("shard")]

    _, told = run(job(), tmp_path / "whole")
    assert list(dict.fromkeys(stages(told)))[:3] == [
        (0, "shard 1 of 4"),
        (1, "shard 2 of 4"),
        (2, "shard 3 of 4"),
    ]
    with pytest.raises(Died):
        run(job(), tmp_path / "taken up", Device(dies_at=2))
    _, told = run(job(), tmp_path / "taken up")
    assert (2, "shard 3 of 4") in stages(told)


def test_stages_name_what_is_checked(tmp_path: Path) -> None:
    assignment = job(models=(hosted("a"),), checked=True)
    _, told = run(assignment, tmp_path)
    found = [p.stage for p in told if p.stage.startswith("checks of a: ")]
    steps = ["outputs", "gradients"]
    names = [NORMS[threat.p] for threat in assignment.plan.threats]
    steps += [f"attacks in {name} against one another" for name in names]
    steps += [f"the attacks beside stronger ones in {name}" for name in names]
    assert found == [
        f"checks of a: {number} of {len(steps)}, {step}" for number, step in enumerate(steps, 1)
    ]


def test_nothing_is_left_to_do_when_all_gates_are_decided(tmp_path: Path) -> None:
    finished, told = run(
        job(count=96, gates=(NetworkGate(0, "clean", Gate(0.05, 0.1, 0.1)),)), tmp_path
    )
    assert finished.stopped == "gates"
    assert (told[-1].stage, told[-1].seconds_left) == ("reports", 0)


def test_only_shards_that_were_judged_now_are_lasting_progress(tmp_path: Path) -> None:
    with pytest.raises(Died):
        run(job(), tmp_path, Device(dies_at=2))
    lasting: list[int] = []  # images done
    audit = AuditRun(
        job(),
        Journal(tmp_path),
        Device(),
        lambda told, lasts: lasting.append(told.images) if lasts else None,
        bool,
    )
    audit.run()
    assert lasting == [3 * SHARD, 60]  # the first two shards are the earlier server's
