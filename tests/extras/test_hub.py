"""Networks of Hugging Face's hub through its own library, from a hub on loopback."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.conftest import ROOT
from tests.extras.toys_hub import REVISION, hub
from tests.service.models.sources.test_huggingface import write

LOAD = """
import sys, torch
from pathlib import Path
from service.models.catalogue import Catalogue
from service.models.checkpoints import ModelError
try:
    plan = Catalogue(Path(sys.argv[1]), {}).blueprint(sys.argv[3])
    torch.manual_seed(1)
    images = torch.rand(2, 3, 64, 64)
    torch.save((plan.classes, images, plan.build().eval()(images)), sys.argv[2])
    if len(sys.argv) > 4:
        print(plan.source)
except ModelError as error:
    print(error)
"""


def load(endpoint: str, weights: Path, out: Path, *words: str) -> str:
    """What loading from a hub prints, in a process that knows that hub."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", LOAD, str(weights), str(out), *(words or ["hf.a.b"])]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=120
    ).stdout


def test_a_network_of_the_hub_is_the_one_that_was_published(tmp_path: Path) -> None:
    published, weights, out = tmp_path / "published", tmp_path / "weights", tmp_path / "out.pt"
    module = write(published)
    with hub(published, "a/b") as endpoint:
        assert load(endpoint, weights, out) == ""
        classes, images, logits = torch.load(out, weights_only=True)
        assert classes == ("rose", "tulip", "daisy")
        with torch.no_grad():
            torch.testing.assert_close(logits, module(images), rtol=0, atol=1e-5)
        (kept,) = weights.rglob("model.safetensors")
        assert kept.parent.name == REVISION

        (published / "model.safetensors").unlink()
        told = load(endpoint, tmp_path / "empty", out)
        assert "model.safetensors of hf:a/b cannot be downloaded" in told
    assert load(endpoint, weights, out) == "", "what is in the weights folder needs no hub"


def test_a_pinned_network_tells_the_commit_that_it_is_of(tmp_path: Path) -> None:
    published, weights, out = tmp_path / "published", tmp_path / "weights", tmp_path / "out.pt"
    write(published)
    with hub(published, "a/b") as endpoint:
        told = load(endpoint, weights, out, "hf.a.b@v1.0", "with its source")
        assert told == f"https://huggingface.co/a/b/tree/{REVISION}\n"
        assert torch.load(out, weights_only=True)[0] == ("rose", "tulip", "daisy")
        (pinned,) = weights.rglob("refs/v1.0")
        assert pinned.read_text() == REVISION
