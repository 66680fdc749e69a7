"""A checkpoint of one's own timm network, made into a bundle."""

from pathlib import Path

import pytest
import timm
import torch

from service.config import ModelTable
from service.models.importer.command import main
from tests.service.models.bundles.test_bundles import zoo
from tests.service.models.importer.test_import import assert_same


def test_a_training_scripts_checkpoint_of_timms_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    module = timm.create_model("resnet10t", num_classes=4).eval()
    path, labels = tmp_path / "mine.ckpt", tmp_path / "labels.txt"
    torch.save({"epoch": 8, "state_dict": module.state_dict()}, path)
    labels.write_text("a\nb\nc\nd\n")
    options = ["--architecture", "timm:resnet10t", "--size", "64", "--labels", str(labels)]
    assert main([str(path), "--out", str(tmp_path), *options]) == 0
    told = capsys.readouterr().out
    assert "images of 3 x 64 x 64" in told
    assert "licence not stated" in told, "the weights are not those that timm publishes"
    model = zoo(None, mine=ModelTable(source=f"bundle:{tmp_path / 'mine.striate'}")).load("mine")
    assert model.classes == tuple("abcd")
    assert_same(model, module)
    assert (
        main([str(path), "--out", str(tmp_path), "--architecture", "timm:resnt10t", "--force"]) == 1
    )
    assert "resnet10t" in capsys.readouterr().err
