"""The main job through a real server process: what the client is told agrees with the library
computed here.
"""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from interp.feature.settings import PictureSettings
from interp.feature.visualize import visualize_units
from interp.layer import LayerPath
from interp.network.network import Network
from interp.probe import solve
from tests.toys_server import Server

NAME = "digits-lenet5"
WEIGHTS = Path(__file__).parents[2] / "service" / "models" / "weights"


def test_model_is_described(net: striate.Model, local: Network) -> None:
    assert tuple(layer.name for layer in net.layers) == local.layers
    assert net.input_size == (32, 32)
    assert net.classes == tuple("0123456789")
    first = next(layer for layer in net.layers if layer.name == "c1")
    assert first.receptive_field is not None
    assert first.receptive_field.size == (5, 5)
    assert first.output_shape == (6, 28, 28)


def test_classify_agrees_with_the_library(
    net: striate.Model, local: Network, digits: tuple[list[bytes], list[int]], pixels: torch.Tensor
) -> None:
    found = net.classify(digits[0], k=3)
    probabilities = local.logits(pixels).softmax(1)
    expected = probabilities.topk(3)
    for row, values, indices in zip(found, expected.values, expected.indices, strict=True):
        assert [p.index for p in row] == indices.tolist()
        assert [p.probability for p in row] == pytest.approx(values.tolist(), abs=1e-6)
    right = np.mean([row[0].index == label for row, label in zip(found, digits[1], strict=True)])
    assert right >= 0.9


def test_png_verdict_is_of_the_bytes_that_leave(
    net: striate.Model, local: Network, digits: tuple[list[bytes], list[int]], pixels: torch.Tensor
) -> None:
    found = net.attack(digits[0], digits[1], striate.PGD(16 / 255, steps=10), format="png")
    levels = np.rint(found.images * 255)
    assert np.abs(levels - np.rint(pixels.numpy() * 255)).max() <= 16
    again = [row[0].index for row in net.classify(list(found.pngs), k=1)]
    assert again == found.predictions.tolist()


def test_visualize_agrees_with_the_library_and_streams(net: striate.Model, local: Network) -> None:
    seen: list[striate.Progress] = []
    units = ["c3:4", "f6:10", "output:3"]
    found = net.visualize(units, steps=12, seed=5, preview_every=4, on_progress=seen.append)
    paths = [LayerPath.parse(unit, local.layers) for unit in units]
    expected = solve(
        visualize_units(paths, torch.zeros(()), PictureSettings((1, 32, 32), steps=12, seed=5)),
        local,
    )
    assert [v.objective for v in found] == units
    assert [v.activation for v in found] == pytest.approx(expected.activation.tolist(), rel=1e-3)
    picture = np.asarray(found[0].image, dtype=np.float32) / 255
    assert np.abs(picture - expected.images[0, 0].numpy()).max() <= 2 / 255
    steps = [progress.step for progress in seen]
    assert steps == sorted(steps)
    assert steps[-1] == 12
    assert {p.step for p in seen if p.previews} <= {4, 8, 12}
    assert any(p.previews for p in seen)


def test_exemplars_equal_brute_force(
    service: striate.Service, net: striate.Model, local: Network
) -> None:
    report = service.build_index(NAME, dataset="digits", layers=["c3", "f6"], k=5, limit=300).wait(
        timeout=120
    )
    assert report.images == 300
    samples = service.samples("digits", first=0, count=300)
    levels = np.stack([np.asarray(Image.open(io.BytesIO(s.encoded)).convert("L")) for s in samples])
    x = torch.from_numpy(levels)[:, None].float() / 255
    maps = local.activations(x, ["c3"])["c3"]
    for unit in (0, 7, 15):
        best = maps[:, unit].flatten(1).amax(1)
        order = sorted(range(300), key=lambda i: (-best[i].item(), i))[:5]
        found = net.exemplars(f"c3:{unit}", k=5, dataset="digits")
        assert [e.activation for e in found] == pytest.approx(
            [best[i].item() for i in order], rel=1e-5
        )
        assert [e.id for e in found] == order
        row, column = found[0].position
        assert maps[order[0], unit, row, column] == pytest.approx(found[0].activation, rel=1e-5)
        left, upper, right, lower = found[0].box
        assert found[0].crop.size == (right - left, lower - upper)


def test_filters_are_exact(net: striate.Model, local: Network) -> None:
    filters = net.filters()
    assert np.array_equal(filters.weights, local.module.state_dict()["c1.weight"].numpy())


def test_errors_name_what_is_wrong(
    service: striate.Service, net: striate.Model, digits: tuple[list[bytes], list[int]]
) -> None:
    with pytest.raises(striate.ModelNotFound, match="digits-lenet5"):
        service.model("digits-lenet")
    with pytest.raises(striate.LayerNotFound, match="c3"):
        net.visualize("c33:1")
    with pytest.raises(striate.InvalidArgument, match="must be from 0 to 15"):
        net.visualize("c3:16")
    with pytest.raises(striate.BadImage, match=r"images.encoded\[1\]"):
        net.classify([digits[0][0], digits[0][1][:100]])
    with pytest.raises(striate.InvalidArgument, match="epsilon"):
        net.attack(digits[0], digits[1], striate.FGSM(1.5))
    with pytest.raises(striate.DatasetNotFound, match="digits"):
        service.samples("digit")
    with pytest.raises(striate.IndexNotFound):
        net.exemplars("c5:1", dataset="digits")
    with pytest.raises(striate.DeadlineExceeded):
        net.visualize("c3:1", steps=4096, timeout=0.3)


def test_health_and_operations(service: striate.Service) -> None:
    assert service.health() == "SERVING"
    assert service.health(NAME) == "SERVING"
    built = service.build_index(NAME, dataset="digits", layers=["c1"], k=1, limit=10)
    built.wait(timeout=60)
    assert {operation.name: operation.done for operation in service.operations()}[built.name]


def test_cli_speaks_json(server: Server) -> None:
    command = [
        str(Path(sys.executable).with_name("striate")),
        "models",
        "--json",
        "--server",
        server.target,
    ]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert NAME in {model["name"] for model in json.loads(said)["models"]}
