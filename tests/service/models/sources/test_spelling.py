"""Names of networks that no source has, and what is said of them."""

from pathlib import Path

import pytest

from service.config import ModelTable
from service.models.blueprint import UnknownModel
from service.models.catalogue import Catalogue
from service.models.checkpoints import ModelError
from service.models.sources.spelling import meant


@pytest.mark.parametrize(
    ("given", "likely"),
    [
        ("tim:resnet18", "timm:resnet18"),
        ("TIMM:resnet18.a1_in1k", "timm:resnet18.a1_in1k"),
        ("timm/resnet18.a1_in1k", "timm:resnet18.a1_in1k"),
        ("HF:org/repo", "hf:org/repo"),
        ("huggingface:org/repo", "hf:org/repo"),
        ("hugingface:org/repo@v1", "hf:org/repo@v1"),
        ("hf-hub:org/repo", "hf:org/repo"),
        ("microsoft/resnet-18", "hf:microsoft/resnet-18"),
        ("bundel:/a/b.striate", "bundle:/a/b.striate"),
        ("torchvision:resnet18", "resnet18"),
        ("models:resnet18", "resnet18"),
        ("models:nothing", None),
        ("timm:", None),
        ("resnet81", None),
        ("", None),
        (":", None),
    ],
)
def test_what_is_probably_meant(given: str, likely: str | None) -> None:
    assert meant(given, ("resnet18", "cifar10-plain")) == likely


def test_a_mistyped_source_is_told_with_those_there_are(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path, {})
    with pytest.raises(UnknownModel) as caught:
        catalogue.blueprint("tim:resnet18")
    told = str(caught.value)
    assert told.startswith("there is no model 'tim:resnet18' (did you mean timm:resnet18?); ")
    for word in ("timm:NAME", "hf:ORGANIZATION/REPOSITORY", "bundle:/FILE"):
        assert word in told
    with pytest.raises(UnknownModel, match=r"did you mean resnet18, "):
        catalogue.blueprint("resnet81")
    with pytest.raises(UnknownModel) as caught:
        catalogue.blueprint(f"x:{'y' * 5000}")
    assert len(str(caught.value)) < 700


def test_a_settings_table_is_told_what_its_source_was_meant_to_be(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path, {"mine": ModelTable(source="huggingface:a/b")})
    with pytest.raises(ModelError, match=r"names no source \(did you mean hf:a/b\?\); hf:ORG"):
        catalogue.blueprint("mine")
