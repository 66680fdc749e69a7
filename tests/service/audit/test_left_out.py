"""Audits of data sets with bad images, against what the network says of the good ones."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from interp.audit.statistics import Gate
from interp.audit.tally import NetworkGate
from service.audit.spec import AuditSpec
from service.datasets import DatasetError, Source
from service.report import schema
from tests.service.audit.toys_audit import Device, Died, at_once, hosted, job, reports, run

# Places in the audit's order: one in the first shard, the whole second, and one without a label.
PLACES = (3, *range(16, 32), 50)


def spoilt(places: tuple[int, ...] = PLACES, skip: bool = True, **other: Any) -> AuditSpec:
    """An audit, and in its data set images of those places that cannot be used."""
    whole = job(models=(hosted("a"), hosted("b", 1)), **other)
    bad = {int(whole.order[place]): place for place in places}

    def item(index: int) -> tuple[str, bytes, int | None]:
        name, data, label = whole.dataset.source.item(index)
        if bad.get(index) == 50:
            return name, data, None
        return name, data[:30] if index in bad else data, label

    source = whole.dataset.source
    data = replace(whole.dataset, source=Source(source.size, item, source.classes, 4))
    return replace(whole, dataset=data.skipping_bad(skip))


def test_what_is_left_out_counts_nowhere_and_is_listed(tmp_path: Path) -> None:
    gates = (NetworkGate(0, "clean", Gate(0.01)),)
    for assignment in (spoilt(), spoilt(gates=gates)):
        folder = tmp_path / str(len(assignment.gates))
        audit, told = run(assignment, folder)
        report = json.loads((folder / "report.json").read_text())
        judged, labels, order = at_once(replace(assignment, dataset=job().dataset))
        good = np.array([place not in PLACES for place in range(len(order))])
        if assignment.gates:  # its images are counted on without gaps
            assert report["gates"][0]["verdict"] == "pass"
            continue
        assert (report["images"], report["complete"], report["stopped"]) == (42, True, None)
        assert (told[-1].images, told[-1].left_out, told[-1].total) == (42, 18, 60)
        right = int(judged.right(labels)[good].sum())
        network = report["networks"][0]
        assert (network["clean"]["successes"], network["clean"]["trials"]) == (right, 42)
        assert {t["worst"][0]["trials"] for t in network["threats"]} == {42}
        left_out = report["dataset"]["left_out"]
        assert left_out["count"] == 18
        assert [one["id"] for one in left_out["images"]] == sorted(order[~good].tolist())
        reasons = {one["id"]: one["reason"] for one in left_out["images"]}
        assert reasons.pop(int(order[50])) == "it has no label"
        assert all("the image is no readable" in reason for reason in reasons.values())
        rows = pq.read_table(folder / "images.parquet").to_pylist()
        assert [row["id"] for row in rows if row["network"] == "a"] == order[good].tolist()
        clean = [row["clean_prediction"] for row in rows if row["network"] == "a"]
        assert clean == judged.clean[good].tolist()
        assert audit.tally.images == 42
        import jsonschema

        jsonschema.validate(report, schema())
        html, xml = ((folder / name).read_text() for name in ("report.html", "report.xml"))
        assert "18 images" in html
        table = html.partition('<section id="left-out">')[2].partition("</section>")[0]
        names = re.findall(r'<th scope="row">(.*?)</th>', table)
        assert names == [one["name"] for one in left_out["images"]]
        assert html.count('href="#left-out"') == 2
        assert '<property name="images_left_out" value="18" />' in xml


def test_an_interrupted_audit_that_leaves_images_out_ends_with_the_same_bytes(
    tmp_path: Path,
) -> None:
    run(spoilt(), tmp_path / "undisturbed")
    for death in (2, 1):
        with pytest.raises(Died):
            run(spoilt(), tmp_path / "disturbed", Device(dies_at=death))
    run(spoilt(), tmp_path / "disturbed")
    assert reports(tmp_path / "disturbed") == reports(tmp_path / "undisturbed")


def test_one_bad_image_ends_an_audit_unless_it_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"image \d+ \('n\d+'\) of data set 'mine' cannot be"):
        run(spoilt((3,), skip=False), tmp_path / "fail")
    everything = spoilt(tuple(range(60)))
    with pytest.raises(DatasetError, match="all 60 were left out, the first, image 0"):
        run(everything, tmp_path / "none")
