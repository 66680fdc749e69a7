"""Minus a unit and its magnitude through a real server and the command line: exemplars, ratios and
percentiles against brute force over all images.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import striate
from interp.network.network import Network
from service.datasets import digits as all_digits
from striate._cli.main import app
from tests.e2e.conftest import NAME
from tests.toys_server import Server

COUNT, K = 200, 5
LAYERS = ("tanh3", "tanh6")  # (16, 10, 10) and (84,), which other tests do not index
RECTIFIED = "layer1.0"  # of cifar10-plain

Maps = dict[str, np.ndarray]


def maps_of(local: Network, images: torch.Tensor) -> Maps:
    """Layer -> activations (N, units, positions) float64."""
    found = local.activations(images, LAYERS)
    return {
        layer: maps.double().reshape(len(images), maps.shape[1], -1).numpy()
        for layer, maps in found.items()
    }


@pytest.fixture(scope="module")
def maps(service: striate.Service, local: Network) -> Maps:
    """The index is there, of four shards, and this is what it is of."""
    service.build_index(NAME, "digits", LAYERS, k=K, limit=COUNT, shard_images=64).wait(timeout=120)
    return maps_of(local, all_digits()[0][:COUNT].float() / 255)


def values_of(form: str, by: str, x: np.ndarray) -> np.ndarray:
    """What ranks the images (N,), largest first, of maps (N, positions)."""
    side = x.mean(1, keepdims=True) if by == "mean" else x
    values: np.ndarray = (-side if form == "neg" else np.abs(side)).max(1)
    return values


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("form", ["neg", "abs"])
@pytest.mark.parametrize("by", ["max", "mean"])
def test_exemplars_are_brute_force(
    net: striate.Model, maps: Maps, layer: str, form: str, by: Any
) -> None:
    for unit in (0, 9, 15):
        name = f"{form}({layer}:{unit})"
        found = net.exemplars(name, k=K, dataset="digits", order=by, images=False)
        assert (found.unit, found.images) == (name, COUNT)
        values = values_of(form, by, maps[layer][:, unit])
        assert [abs(e.activation) for e in found] == pytest.approx(
            np.abs(np.sort(values)[::-1][:K]), abs=1e-5
        )
        assert values[[e.id for e in found]] == pytest.approx(np.sort(values)[::-1][:K], abs=1e-5)
        for exemplar in found:  # with its sign
            x = maps[layer][exemplar.id, unit]
            row, column = exemplar.position
            there = x.mean() if by == "mean" else x[10 * row + column]
            assert exemplar.activation == pytest.approx(there, abs=1e-5)


UNITS = ("neg(tanh3:2)", "-tanh3:7", "abs(tanh3:7)", "neg(tanh3:2@4,5)", "abs(tanh6:3)", "tanh3:2")


def test_certificates_are_brute_force(net: striate.Model, local: Network, maps: Maps) -> None:
    pictures = net.visualize(
        list(UNITS), steps=16, dataset="digits", include_tensor=True, retries=0
    )
    for name, picture in zip(UNITS, pictures, strict=True):
        certificate = picture.certificate
        assert certificate is not None
        assert picture.tensor is not None
        form = "neg" if name[0] in "-n" else "abs" if name[0] == "a" else "value"
        assert picture.objective == ("neg(tanh3:7)" if name[0] == "-" else name)
        layer, unit = ("tanh6", 3) if "tanh6" in name else ("tanh3", int(name.split(":")[1][0]))
        mine = maps_of(local, torch.from_numpy(picture.tensor)[None])[layer][0]
        at = mine[:, 45] if "@" in name else mine.mean(1)
        told = {"neg": -at, "abs": np.abs(at), "value": at}[form]
        assert picture.activation == pytest.approx(told[unit], abs=1e-4)
        assert certificate.rank == (told >= told[unit]).sum()
        if form == "value":
            values = maps[layer][:, unit].mean(1)
        else:
            values = values_of(form, "max" if "@" in name else "mean", maps[layer][:, unit])
        assert certificate.dataset_maximum == pytest.approx(values.max(), abs=1e-5)
        assert certificate.ratio == pytest.approx(certificate.activation / values.max(), rel=1e-4)
        assert certificate.percentile == pytest.approx(
            (values < picture.activation).mean(), abs=1 / COUNT
        )
        assert not certificate.no_ratio


def test_a_composed_objective_has_them_as_terms(net: striate.Model, local: Network) -> None:
    text = "0.5*abs(tanh3:7) - tanh6:3 + neg(logits:4)"
    picture = net.visualize(text, steps=4, include_tensor=True)
    assert picture.objective == "0.5 * abs(tanh3:7) - tanh6:3 + neg(logits:4)"
    assert picture.tensor is not None
    x = torch.from_numpy(picture.tensor)[None]
    found = local.activations(x, ["tanh3", "tanh6", "logits"])
    wanted = 0.5 * found["tanh3"][0, 7].mean().abs() - found["tanh6"][0, 3] - found["logits"][0, 4]
    assert picture.activation == pytest.approx(wanted.item(), abs=1e-4)
    unit = striate.Unit("tanh3:7")
    same = net.visualize([-unit, abs(unit)], steps=2)
    assert [one.objective for one in same] == ["neg(tanh3:7)", "abs(tanh3:7)"]


@pytest.mark.parametrize("form", ["neg", "abs"])
def test_a_whole_layer_is_made_and_kept_by_its_form(
    net: striate.Model, maps: Maps, form: Any
) -> None:
    whole = net.visualize(f"{form}(tanh3:0-2)", steps=6, seed=5)
    assert isinstance(whole, striate.LayerPictures)
    first = whole.all()
    again = net.visualize_layer("tanh3", units=range(3), form=form, steps=6, seed=5).all()
    plain = net.visualize_layer("tanh3", units=range(3), steps=6, seed=5).all()
    for unit, (made, kept, other) in enumerate(zip(first, again, plain, strict=True)):
        assert made.visualization.objective == f"{form}(tanh3:{unit})"
        assert kept.cached
        assert kept.visualization.png == made.visualization.png
        if form == "neg":  # a magnitude may climb as the unit does
            assert made.visualization.png != other.visualization.png
        certificate = made.visualization.certificate
        assert certificate is not None
        assert certificate.dataset_maximum == pytest.approx(
            values_of(form, "mean", maps["tanh3"][:, unit]).max(), abs=1e-5
        )


def test_dossiers_and_facets_are_of_the_same_side(net: striate.Model, maps: Maps) -> None:
    dossier = net.dossier("neg(tanh3:2)", dataset="digits", images=8, steps=4, exemplars=3)
    assert dossier.unit == "neg(tanh3:2)"
    assert dossier.statistics.unit == "tanh3:2"
    x = maps["tanh3"][:, 2]
    assert [e.activation for e in dossier.exemplars] == pytest.approx(
        np.sort(x.min(1))[:3], abs=1e-5
    )
    assert [e.activation for e in dossier.exemplars_by_mean] == pytest.approx(
        np.sort(x.mean(1))[:3], abs=1e-5
    )
    assert dossier.statistics.minimum_mean == pytest.approx(x.mean(1).min(), abs=1e-5)
    assert dossier.visualizations[0].objective == "neg(tanh3:2)"
    assert "What it likes least" in dossier.html
    found = net.facets("abs(tanh3:2)", dataset="digits", facets=2, steps=3)
    ids = {image for facet in found for image in facet.ids}
    values = values_of("abs", "max", x)
    assert values[sorted(ids)] == pytest.approx(values[np.sort(np.argsort(-values)[:K])], abs=1e-4)
    assert {facet.visualization.objective for facet in found} == {"abs(tanh3:2)"}


def test_elsewhere_the_unit_itself_is_asked_for(net: striate.Model) -> None:
    image = np.zeros((32, 32), np.uint8)
    for ask in (
        lambda: net.attribute(image, "saliency", unit="neg(tanh3:2)"),
        lambda: net.statistics("abs(tanh3:2)", dataset="digits"),
        lambda: net.activations(image, "neg(tanh3:2)"),
        lambda: net.attack(image, 0, striate.FGSM(), unit=striate.Drive("neg(tanh3:2)")),
        lambda: net.visualize("neg(tanh3)", steps=1),
    ):
        with pytest.raises(striate.InvalidArgument, match="unit"):
            ask()


def test_a_rectified_unit_has_no_ratio_below_0(service: striate.Service) -> None:
    net = service.model("cifar10-plain")
    service.build_index(net.name, "photo-patches", [RECTIFIED], k=2, limit=64).wait(timeout=120)
    names = [f"neg({RECTIFIED}:1)", f"abs({RECTIFIED}:1)"]
    lowered, magnitude = net.visualize(names, steps=2, retries=0, dataset="photo-patches")
    assert lowered.certificate is not None
    assert magnitude.certificate is not None
    assert magnitude.certificate.ratio is not None
    lowest = net.statistics(f"{RECTIFIED}:1", dataset="photo-patches")
    assert isinstance(lowest, striate.UnitStatistics)
    assert lowest.minimum_mean >= lowest.minimum == 0
    assert lowered.certificate.ratio is lowered.certificate.held_out_ratio is None
    assert f"{RECTIFIED}:1 is below 0 on no image" in lowered.certificate.no_ratio


def test_the_command_line_takes_a_minus_for_a_unit(
    server: Server, net: striate.Model, maps: Maps, tmp_path: Path
) -> None:
    def run(*words: str) -> Any:
        result = CliRunner().invoke(app, ["--server", server.target, *words])
        assert result.exit_code == 0, result.output
        return json.loads(result.output) if "--json" in words else result.output

    found = run("exemplars", NAME, "-tanh3:2", "--dataset", "digits", "-k", "3", "--json")
    assert found["unit"] == "neg(tanh3:2)"
    assert [one["activation"] for one in found["exemplars"]] == pytest.approx(
        np.sort(maps["tanh3"][:, 2].min(1))[:3], abs=1e-5
    )
    out = "--out", str(tmp_path), "--steps", "2", "--json"
    for words in (("-tanh3:2", *out), (*out, "--", "-tanh3:2"), (*out, "neg(tanh3:2)")):
        (one,) = run("visualize", NAME, *words)["visualizations"]
        assert one["objective"] == "neg(tanh3:2)"
        assert one["certificate"]["ratio"] is not None
    assert (tmp_path / "neg-tanh3-2.png").exists()
    table = run("statistics", NAME, "tanh3:2", "--dataset", "digits")
    assert "lowest mean" in table
