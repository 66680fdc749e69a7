"""CompileDossier through a real server process."""

import base64
import re

import numpy as np
import pytest
import torch

import striate
from interp.attack.unit_flips import activations_under_attack, unit_flips
from interp.network.ablation import ablation_differences
from interp.network.network import Network
from interp.probe import solve
from tests.e2e.conftest import NAME

IMAGES = 20


@pytest.fixture(scope="module")
def spread(service: striate.Service, net: striate.Model) -> torch.Tensor:
    """The images that dossiers are run on; and the index that they need is built."""
    service.build_index(NAME, dataset="digits", layers=["c3", "f6"], k=6, limit=200).wait(
        timeout=120
    )
    size = next(dataset.size for dataset in service.datasets() if dataset.name == "digits")
    samples = [
        service.samples("digits", first=place * size // IMAGES, count=1)[0]
        for place in range(IMAGES)
    ]
    pixels = np.stack([np.asarray(sample.image.convert("L")) for sample in samples])
    return torch.from_numpy(pixels)[:, None].float() / 255


def test_every_part_is_there_and_right(
    net: striate.Model, local: Network, spread: torch.Tensor
) -> None:
    found = net.dossier(
        "c3:7",
        dataset="digits",
        steps=8,
        pictures=2,
        exemplars=4,
        images=IMAGES,
        epsilon=0.1,
        attack_steps=5,
        facets=True,
    )
    assert found.unit == "c3:7"
    assert len(found.visualizations) == 2
    assert (
        np.abs(
            np.asarray(found.visualizations[0].image, float)
            - np.asarray(found.visualizations[1].image, float)
        ).max()
        > 10
    )
    best = net.exemplars("c3:7", k=4, dataset="digits")
    assert [(e.id, e.activation) for e in found.exemplars] == [(e.id, e.activation) for e in best]
    by_mean = net.exemplars("c3:7", k=4, dataset="digits", order="mean")
    assert [(e.id, e.activation) for e in found.exemplars_by_mean] == [
        (e.id, e.activation) for e in by_mean
    ]
    assert found.statistics.maximum == pytest.approx(best[0].activation)
    assert found.tuning is not None
    assert sum(facet.share for facet in found.facets) == pytest.approx(1)

    expected = ablation_differences(local, spread, "c3", 7)
    means = [shift.mean for shift in found.logit_shifts]
    assert means == sorted(means, reverse=True)
    assert sorted(shift.index for shift in found.logit_shifts) == list(range(10))
    for shift in found.logit_shifts:
        assert shift.mean == pytest.approx(expected[:, shift.index].mean().item(), abs=1e-4)
        assert shift.standard_error == pytest.approx(
            expected[:, shift.index].std().item() / IMAGES**0.5, abs=1e-4
        )
        assert shift.label == str(shift.index)

    flips = unit_flips(*solve(activations_under_attack(spread, "c3", 0.1, 5), local))
    assert len(found.flips) == 16
    assert [flip.rank for flip in found.flips] == list(range(1, 17))
    for flip in found.flips:
        assert flip.share == pytest.approx(
            flips.share[flip.unit].item(), abs=0.051
        )  # an image may lie on the median itself
        assert flip.shift == pytest.approx(flips.shift[flip.unit].item(), abs=0.02)


def test_page_needs_nothing_besides_itself(net: striate.Model, spread: torch.Tensor) -> None:
    found = net.dossier(
        "c3:7", dataset="digits", steps=4, exemplars=3, images=4, attack_steps=2, facets=True
    )
    html = found.html
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", html)
    assert "<script" not in html
    assert "url(" not in html
    pictures = [
        base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    ]
    assert all(data.startswith(b"\x89PNG") for data in pictures)
    assert len(pictures) == 1 + 3 + 2 * 3 + sum(1 + len(facet.crops) for facet in found.facets)
    assert found.visualizations[0].png in pictures
    for title in (
        "What it likes best",
        "How active it is",
        "The different things it sees",
        "tuning to gratings",
        "lost without it",
        "attack",
    ):
        assert title in html
    for image in (*found.exemplars, *found.exemplars_by_mean):
        assert f"{image.activation:.4g}" in html
    assert "Left out" not in html
    assert "Not on this page" not in html


def test_what_cannot_be_made_is_left_out_and_said(net: striate.Model, spread: torch.Tensor) -> None:
    found = net.dossier("f6:10", dataset="digits", steps=4, exemplars=2, images=1, attack_steps=1)
    assert found.tuning is None
    assert not found.exemplars_by_mean
    assert "f6 has no rows and columns" in found.html
    assert 'id="tuning"' not in found.html
    assert len(found.flips) in (16, 17)
    assert 10 in {flip.unit for flip in found.flips}


def test_errors_name_what_is_wrong(net: striate.Model, spread: torch.Tensor) -> None:
    with pytest.raises(striate.IndexNotFound):
        net.dossier("c5:1", dataset="digits")
    with pytest.raises(striate.InvalidArgument, match="images"):
        net.dossier("c3:7", dataset="digits", images=513)
    with pytest.raises(striate.InvalidArgument, match=r"settings\.size"):
        net.dossier("c3:7", dataset="digits", size=2000)
    with pytest.raises(striate.DatasetNotFound):
        net.dossier("c3:7", dataset="digit")
