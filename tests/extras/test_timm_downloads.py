"""Published weights of timm's networks, from a hub on loopback: kept, verified, and refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import ROOT
from tests.extras.test_timm_networks import drawn
from tests.extras.toys_hub import hub

NAME = "test_resnet.r160_in1k"
LOAD = """
import sys, torch
from pathlib import Path
from service.models.catalogue import Catalogue
from service.models.checkpoints import ModelError
try:
    plan = Catalogue(Path(sys.argv[1]), {}).blueprint(sys.argv[3])
    torch.manual_seed(1)
    images = torch.rand(2, 3, 96, 96)
    torch.save((plan.weights, images, plan.build().eval()(images)), sys.argv[2])
except ModelError as error:
    print(error)
"""


def load(endpoint: str, weights: Path, out: Path, name: str = f"timm.{NAME}") -> str:
    """What loading from a hub prints, in a process that knows that hub."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", LOAD, str(weights), str(out), name]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=120
    ).stdout


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_downloaded_network_is_the_one_that_was_published(file: str, tmp_path: Path) -> None:
    published, weights, out = tmp_path / "published", tmp_path / "weights", tmp_path / "out.pt"
    published.mkdir()
    module = drawn(NAME)
    if file.endswith(".bin"):
        torch.save(module.state_dict(), published / file)
    else:
        save_file(module.state_dict(), published / file)
    with hub(published, f"timm/{NAME}") as endpoint:
        assert load(endpoint, weights, out) == ""
    source, images, logits = torch.load(out, weights_only=True)
    assert source == f"timm/{NAME}"
    with torch.no_grad():
        torch.testing.assert_close(logits, module(images), rtol=0, atol=1e-5)

    # Offline, under the name without a tag; then with a blob that is not what it was.
    assert load(endpoint, weights, out, "timm.test_resnet") == ""
    (kept,) = weights.rglob(file)
    blob = kept.resolve()
    assert weights in blob.parents
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x01")
    told = load(endpoint, weights, out)
    if file.endswith(".bin"):
        assert f"{file} of timm:{NAME} was downloaded but is damaged" in told


def test_a_hub_that_does_not_answer_is_told_with_the_way_on(tmp_path: Path) -> None:
    with hub(tmp_path, "nobody/else") as endpoint:
        told = load(endpoint, tmp_path / "weights", tmp_path / "out.pt")
    assert f"model.safetensors of timm:{NAME} cannot be downloaded" in told


def test_pickled_objects_of_a_download_are_never_made(tmp_path: Path) -> None:
    published = tmp_path / "published"
    published.mkdir()
    torch.save({"state_dict": drawn(NAME)}, published / "pytorch_model.bin")
    with hub(published, f"timm/{NAME}") as endpoint:
        told = load(endpoint, tmp_path / "weights", tmp_path / "out.pt")
    assert "others than plain tensors are never unpickled" in told
